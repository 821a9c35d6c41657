"""The command's side of the supervisor: is it alive, wake it, start it, end it."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from bayplan import __version__
from bayplan.errors import BusyError
from bayplan.runtime.native.supervisor import unit
from bayplan.runtime.native.supervisor.place import Files, Roots, tidy_cgroups
from bayplan.runtime.native.supervisor.records import needs_watch, runs
from bayplan.system.files import atomic_write, locked
from bayplan.system.processes import Process

if TYPE_CHECKING:
    from bayplan.models import Settings
    from bayplan.runtime.native.state.database import Database

_START_MS = 30_000
_END_S = 5.0
_REAPED_S = 3.0  # some inits ask for the status of ended processes every two seconds
_KEPT_VARIABLES = ("PATH", "LANG", "PYTHONPATH")

log = logging.getLogger(__name__)


def holder(roots: Roots) -> tuple[Process, str] | None:
    """The process that watches this core and its version; None when none does."""
    try:
        found = json.loads(Files.of(roots).holder.read_text())
        process = Process(found["pid"], found["start"])
    except (OSError, ValueError, KeyError):
        return None
    return (process, str(found.get("version", ""))) if process.alive else None


def is_alive(roots: Roots) -> bool:
    """Whether a supervisor watches this core now."""
    return holder(roots) is not None


def wake(roots: Roots) -> None:
    """Tell it that records have changed. Nobody there is no error: one that starts reads them all."""
    try:
        fd = os.open(Files.of(roots).wake, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # ENXIO: no reader; ENOENT: never started
        return
    try:
        os.write(fd, b"\0")
    except OSError:  # EAGAIN: it has yet to read the bytes of others
        pass
    finally:
        os.close(fd)


def settle(settings: Settings, database: Database) -> None:
    """Start the supervisor when a container needs it and none is there, end it when none needs it.

    Called at the end of a change, with the host's lock held. That it does not start is a warning: the containers run,
    and the next plan shows the defect.
    """
    needed = any(needs_watch(run, settings) for run in runs(database))
    there = holder(settings)
    if there and (not needed or there[1] != __version__):
        there[0].send(signal.SIGTERM)
        there[0].wait(_END_S)
        there = None
    if not needed:
        _await_end(Files.of(settings))
        tidy_cgroups(settings, patience_s=_REAPED_S)
    elif there is None:
        try:
            started = _start(settings)
        except OSError as error:
            log.warning("the supervisor did not start: %s", error)
            return
        if not started:
            log.warning("the supervisor did not start; see %s", Files.of(settings).log)


def _await_end(files: Files) -> None:
    """Wait until no process holds the lock: one that ends by itself has yet to close the records."""
    if files.lock.exists():
        with suppress(BusyError), locked(files.lock, "end of the supervisor", _END_S):
            return


def _await_holder(settings: Settings) -> bool:
    """Whether a unit that systemd has started comes to watch."""
    deadline = time.monotonic() + _START_MS / 1000
    while not is_alive(settings):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def _start(settings: Settings) -> bool:
    files = Files.of(settings)
    files.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    atomic_write(files.settings, settings.model_dump_json().encode(), durable=False)
    variables = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    if unit.is_for_systemd() and unit.start(settings, variables) and _await_holder(settings):
        return True
    reader, writer = os.pipe()
    try:
        with files.log.open("ab") as output:
            first = subprocess.Popen(
                [sys.executable, "-P", "-m", __package__, str(files.settings), str(writer)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=variables,
                pass_fds=(writer,),
                start_new_session=True,
            )
        os.close(writer)
        writer = -1
        first.wait()  # it forks at once, so that nobody here has to wait for its end
        poller = select.poll()
        poller.register(reader, select.POLLIN)
        # It ends at once where another one holds the lock already.
        return (bool(poller.poll(_START_MS)) and os.read(reader, 1) != b"") or is_alive(settings)
    finally:
        for fd in (reader, writer):
            if fd >= 0:
                os.close(fd)
