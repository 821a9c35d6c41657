"""A few rounds of the sweeps; ``./run sweep`` runs the whole."""

import os
import random

import pytest

from faults.disk import NoLoopError
from faults.power import PowerSweep
from faults.sweep import Sweep, small_stack
from faults.syscalls import SyscallSweep

pytestmark = [
    pytest.mark.host,
    pytest.mark.sweep,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


def test_a_kill_at_any_moment_is_healed_by_the_next_apply(tmp_path):
    """Fault row 1."""
    said = []
    sweep = Sweep(small_stack(tmp_path), seed=int.from_bytes(os.urandom(4)), say=said.append)
    assert sweep.run(4), "\n".join(said)


def test_a_kill_at_single_changes_of_the_host_is_healed_too(tmp_path):
    """Fault row 1."""
    said = []
    sweep = Sweep(small_stack(tmp_path), seed=0, say=said.append)
    assert sweep.run_points(step=331, offset=int.from_bytes(os.urandom(2)) % 331), "\n".join(said)


def test_a_kill_at_single_system_calls_is_healed_as_well(tmp_path):
    """Some of those of a first apply, a replacement and a rollback; volumes stay the same to the byte."""
    said = []
    sweep = SyscallSweep(small_stack(tmp_path), seed=0, say=said.append)
    assert sweep.run_calls(step=311, offset=int.from_bytes(os.urandom(2)) % 311), "\n".join(said)


def test_a_write_that_fails_damages_nothing(tmp_path):
    """A full disk, or a broken one, at single writes: one message, and the next apply goes through."""
    said = []
    sweep = SyscallSweep(small_stack(tmp_path), seed=0, say=said.append)
    error = random.choice(("ENOSPC", "EIO"))
    assert sweep.run_calls(step=600, offset=int.from_bytes(os.urandom(2)) % 600, error=error), "\n".join(said)


def test_a_power_cut_tears_no_record_and_no_generation(tmp_path):
    """Fault rows 5 and 13: whole cores on a disk of their own; the first cut is that of a first apply."""
    said = []
    sweep = PowerSweep(small_stack(tmp_path), seed=int.from_bytes(os.urandom(4)), say=said.append)
    try:
        held = sweep.run(3)
    except NoLoopError as error:
        pytest.skip(f"no loop devices: {error}")
    assert held, "\n".join(said)
