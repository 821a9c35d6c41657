"""Becoming the one supervisor of a core, and ending as it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from bayplan import __version__
from bayplan.errors import BayplanError
from bayplan.runtime.native.state.database import Database
from bayplan.runtime.native.supervisor import unit
from bayplan.runtime.native.supervisor.client import wake
from bayplan.runtime.native.supervisor.loop import Supervisor
from bayplan.runtime.native.supervisor.place import Files, Place, cgroup, tidy_cgroups
from bayplan.runtime.native.supervisor.records import needs_watch, runs
from bayplan.system import cgroups
from bayplan.system.files import atomic_write
from bayplan.system.processes import Process

_LOCK_S = 10.0
_LOG_BYTES = 256 * 1024


def main(settings_file: str, ready_fd: int) -> int:
    """Watch until no container needs it or SIGTERM comes. Writes one byte to ``ready_fd`` when it watches."""
    place = Place.read(Path(settings_file))
    files = Files.of(place)
    log = Log(files.log)
    lock = os.open(files.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _acquire(lock):
        # No failure: systemd would start this one again and again.
        log.say("another supervisor holds the lock; this one ends")
        return 0
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    own = cgroup(place)
    if not unit.runs_as_unit():
        cgroups.enter(own)
    with suppress(FileExistsError):
        os.mkfifo(files.wake, 0o600)
    database = Database(place.state_root / "state.db")
    supervisor = Supervisor(place, database, log.say)

    def end(number: int, frame: FrameType | None) -> None:
        supervisor.ending = True
        wake(place)

    signal.signal(signal.SIGTERM, end)
    try:
        log.say(f"watching {place.state_root}")
        while True:
            _claim(files)
            if ready_fd >= 0:
                with suppress(BrokenPipeError):  # whoever started it was killed; the containers still need it
                    os.write(ready_fd, b"1")
                os.close(ready_fd)
                ready_fd = -1
            supervisor.run()
            files.holder.unlink(missing_ok=True)
            # A change that saw the file before it went relies on this process: look once more after it is gone.
            if supervisor.ending or not _is_needed(database, place):
                break
    except BaseException as error:
        log.say(f"ends: {type(error).__name__}: {error}")
        raise
    finally:
        supervisor.close()
        database.close()
        files.holder.unlink(missing_ok=True)
        cgroups.leave(own)
        # Whoever removed the last container may have been killed before it could.
        tidy_cgroups(place)
    log.say("ends: " + ("asked to" if supervisor.ending else "no container needs it"))
    return 0


def _is_needed(database: Database, place: Place) -> bool:
    """Whether a container needs it; a record that cannot be read now is looked at again."""
    try:
        return any(needs_watch(run, place) for run in runs(database))
    except BayplanError:
        return True


def _claim(files: Files) -> None:
    me = Process.of(os.getpid())
    assert me is not None  # this process
    text = json.dumps({"pid": me.pid, "start": me.start, "version": __version__})
    atomic_write(files.holder, text.encode(), durable=False)


def _acquire(fd: int) -> bool:
    """The lock, once one that is about to end has let go of it."""
    deadline = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        else:
            return True


class Log:
    """Lines on standard error, which is the log file; at its cap the file becomes ``log.1`` and a new one begins."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def say(self, text: str) -> None:
        """Write one line with the time."""
        with suppress(OSError):
            if os.fstat(2).st_size > _LOG_BYTES:
                self._begin_anew()
        print(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {text}", file=sys.stderr, flush=True)

    def _begin_anew(self) -> None:
        self.path.replace(self.path.with_suffix(".1"))
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.close(fd)
