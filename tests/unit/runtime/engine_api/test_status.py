"""What an inspection says of a container's life."""

from datetime import UTC, datetime

import pytest

from bayplan.runtime.engine_api.status import moment, status_of
from bayplan.runtime.protocol import Health, State

STARTED = "2026-03-01T10:00:00.123456789Z"
TIMES = [
    (STARTED, datetime(2026, 3, 1, 10, 0, 0, 123456, UTC)),
    ("2026-03-01T10:00:00Z", datetime(2026, 3, 1, 10, tzinfo=UTC)),
    ("2026-03-01T10:00:00.5+00:00", datetime(2026, 3, 1, 10, 0, 0, 500000, UTC)),
    ("0001-01-01T00:00:00Z", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "wanted"), TIMES)
def test_times(text, wanted):
    assert moment(text) == wanted


@pytest.mark.parametrize(
    ("said", "state"),
    [("created", State.CREATED), ("Up", State.DEFECT), ("dead", State.INCOMPLETE), ("restarting", State.RESTARTING)],
)
def test_states(said, state):
    assert status_of({"State": {"Status": said}}).state is state


def test_health_is_that_of_a_running_one():
    found = {"State": {"Status": "running", "Health": {"Status": "unhealthy"}}}
    assert status_of(found).health is Health.UNHEALTHY
    found["State"]["Status"] = "exited"
    assert status_of(found).health is Health.NONE


def test_an_end_on_request_is_one_of_this_run():
    found = {"State": {"Status": "exited", "ExitCode": 143, "StartedAt": STARTED}}
    later, earlier = "2026-03-01T10:00:01+00:00", "2026-03-01T09:00:00+00:00"
    assert status_of(found, later).on_request
    assert not status_of(found, earlier).on_request
    assert (status_of(found).on_request, status_of(found).exit_code) == (False, 143)


def test_ports_are_those_that_are_open():
    ports = {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
        "90/udp": None,
    }
    assert status_of({"State": {}, "NetworkSettings": {"Ports": ports}}).ports == (
        "0.0.0.0:8080->80/tcp",
        "[::]:8080->80/tcp",
    )
