"""A container that is read (commit, export) does not write meanwhile."""

import os

import pytest

from bayplan.runtime.native.containers.verbs import pause, quiet
from bayplan.runtime.protocol import State

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def test_it_stands_still_and_goes_on_also_after_a_failure(host):
    made = host.start("a", "/bin/sleep", "60")
    with pytest.raises(ZeroDivisionError):
        _fail(host, made)
    assert host.containers.status(made).state is State.RUNNING


def _fail(host, made):
    with quiet(host.containers, made):
        assert host.containers.status(made).state is State.PAUSED
        raise ZeroDivisionError


def test_one_that_is_paused_stays_so_and_one_that_ended_is_no_error(host):
    made = host.start("a", "/bin/sleep", "60")
    pause(host.containers, made)
    with quiet(host.containers, made):
        pass
    assert host.containers.status(made).state is State.PAUSED
    with quiet(host.containers, host.create("b", "/bin/true")):
        pass
