"""The health check of an image, read from its configuration."""

import pytest

from bayplan.errors import UnsupportedError
from bayplan.runtime.native.containers import health
from bayplan.runtime.native.images.build.config import _CHECK_TIMES
from bayplan.runtime.native.supervisor.schedule import Check

SECOND = 1_000_000_000


def test_every_time_that_a_dockerfile_can_set_is_read():
    raw = {name: number * SECOND for number, name in enumerate(sorted(_CHECK_TIMES.values()), start=1)}
    check = Check.of(None, health.of_image({"Test": ["CMD", "x"], "Retries": 7, **raw}))
    assert (check.interval_s, check.start_interval_s, check.start_period_s, check.timeout_s) == (1, 2, 3, 4)
    assert check.retries == 7


@pytest.mark.parametrize("raw", [{"Test": "x"}, {"Test": ["CMD"], "Interval": "soon"}, {"Test": ["x"]}])
def test_what_is_no_check_is_refused(raw):
    with pytest.raises(UnsupportedError, match="the health check of its image cannot be used"):
        health.of_image(raw)
