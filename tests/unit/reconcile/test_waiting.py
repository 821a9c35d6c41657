"""Several waits at once: the first that fails ends the others."""

import threading

import pytest

from bayplan.errors import RuntimeFailureError, StoppedError
from bayplan.reconcile import waiting

NEVER = bool


def test_all_are_waited_for_at_the_same_time():
    together = threading.Barrier(3, timeout=30)
    waiting.all_of(range(3), lambda one, stopped: together.wait(), NEVER)


def test_the_first_failure_ends_those_that_still_wait():
    given_up = []

    def wait(one, stopped):
        if one == "bad":
            raise RuntimeFailureError("it ended")
        while not stopped():
            threading.Event().wait(0.01)
        given_up.append(one)
        raise StoppedError("no longer waiting")

    with pytest.raises(RuntimeFailureError, match="it ended"):
        waiting.all_of(["slow", "bad", "slower"], wait, NEVER)
    assert set(given_up) == {"slow", "slower"}


@pytest.mark.parametrize("count", [1, 3])
def test_a_stop_ends_them_all(count):
    stop = threading.Event()

    def wait(one, stopped):
        stop.set()
        while not stopped():
            threading.Event().wait(0.01)
        raise StoppedError("stopped")

    with pytest.raises(StoppedError):
        waiting.all_of(range(count), wait, stop.is_set)
