"""Signals, pauses and the wait for the end of one container."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bayplan.errors import ConflictError, RuntimeFailureError, StoppedError
from bayplan.runtime.native.containers import lifecycle
from bayplan.runtime.native.containers.containers import Containers
from bayplan.runtime.native.containers.observations import EXIT_FILE_S
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.containers.records import now
from bayplan.runtime.native.supervisor import client
from bayplan.runtime.native.supervisor.records import note_death
from bayplan.runtime.protocol import never
from bayplan.system import freezer
from bayplan.system.processes import Process
from bayplan.system.signals import signal_number

_KILL_TIMEOUT_S = 10.0
_LOOK_S = 0.2


def kill(containers: Containers, container_id: str, name: str) -> None:
    """Send a signal to the first process.

    SIGKILL, and the signal that asks it to end, count as a wish to have it ended: it is not started again by its
    policy, and a paused one goes on so that it can end (as `docker kill` has it).
    """
    number = signal_number(name)
    process = running(containers, container_id)
    ends = number in (signal.SIGKILL, signal_number(containers.stop_signal(container_id)))
    if ends:
        containers.records.set(container_id, wanted="stopped")
        client.wake(containers.settings)
    process.send(number)
    containers.note(container_id, "kill", f"signal {number}")
    paths = Paths.of(containers.settings, container_id)
    if ends:
        freezer.thaw(paths.cgroup)
    if number != signal.SIGKILL:
        return
    if not process.wait(_KILL_TIMEOUT_S):
        raise RuntimeFailureError(f"process {process.pid} does not end after SIGKILL", hint="it may wait for a device")
    lifecycle.kill(paths.cgroup)
    code = lifecycle.await_exit_file(paths, container_id, EXIT_FILE_S)
    containers.records.set(container_id, exit_code=code, finished_at=now())
    note_death(containers.records.database, container_id, code)


def pause(containers: Containers, container_id: str) -> None:
    """Freeze every process of it."""
    running(containers, container_id)
    freezer.freeze(Paths.of(containers.settings, container_id).cgroup)
    containers.note(container_id, "pause")


def unpause(containers: Containers, container_id: str) -> None:
    """Let them go on."""
    running(containers, container_id)
    freezer.thaw(Paths.of(containers.settings, container_id).cgroup)
    containers.note(container_id, "unpause")


@contextmanager
def quiet(containers: Containers, container_id: str) -> Iterator[None]:
    """Frozen meanwhile, so that what is read of its files is of one moment; one that does not run, or is paused, stays.

    A kill leaves it paused: the next apply, or ``unpause``, lets it go on.
    """
    cgroup = Paths.of(containers.settings, container_id).cgroup
    if containers.process(container_id) is None or freezer.is_frozen(cgroup):
        yield
        return
    freezer.freeze(cgroup)
    try:
        yield
    finally:
        freezer.thaw(cgroup)


def await_end(containers: Containers, container_id: str, stopped: Callable[[], bool] = never) -> int:
    """Wait for its end; its exit code."""
    while process := containers.process(container_id):
        if stopped():
            raise StoppedError(f"no longer waiting for container {container_id[:12]}")
        process.wait(_LOOK_S)
    status = containers.status(container_id)
    if status.exit_code is not None:
        return status.exit_code
    if status.started_at is None:
        return 0
    raise RuntimeFailureError(f"nobody knows how container {container_id[:12]} ended: its monitor was killed too")


def running(containers: Containers, container_id: str) -> Process:
    """Its first process. Raises ConflictError when it does not run."""
    process = containers.process(container_id)
    if process is None:
        name = containers.declared(container_id).name
        raise ConflictError(f"container {name} is not running", hint="start it first")
    return process
