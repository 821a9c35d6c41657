import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bayplan.models import ImageReference
from bayplan.runtime.native.images.build.bases import Base, Bringing

ONE, TWO = (Base(ImageReference.parse(name), f"sha256:{name}", {}, ()) for name in ("one", "two"))


def test_bases_are_brought_at_the_same_time_and_each_once():
    meeting, brought = threading.Barrier(2, timeout=30), []

    def bring(base):
        meeting.wait()  # neither ends without the other
        brought.append(base)

    bringing = Bringing(bring)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(bringing, [ONE, TWO] * 3))
    assert sorted(base.digest for base in brought) == ["sha256:one", "sha256:two"]


def test_one_that_failed_is_tried_again_by_the_next():
    tries = []

    def bring(base):
        tries.append(base)
        if len(tries) == 1:
            raise OSError("gone")

    bringing = Bringing(bring)
    with pytest.raises(OSError, match="gone"):
        bringing(ONE)
    bringing(ONE)
    assert len(tries) == 2
