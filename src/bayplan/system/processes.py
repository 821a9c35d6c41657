"""Processes known by pid and start time, so that a reused pid is never taken for the old process."""

from __future__ import annotations

import errno
import functools
import os
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from bayplan.system.files import read_if_there

_STAT_STARTTIME = 22  # proc(5), /proc/pid/stat field (22)
_STAT_STATE = 3
_FIRST_PIDS = Path("pid:[4026531836]")  # PROC_PID_INIT_INO of include/linux/proc_ns.h
_LONGEST_POLL_S = 3600.0  # poll(2) takes milliseconds as an int: 24 days


@dataclass(frozen=True)
class Process:
    """A process: pid and its start time in clock ticks after boot."""

    pid: int
    start: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has this pid now; None when there is none (a zombie counts as gone)."""
        found = _stat(pid)
        return None if found is None or found[0] in "ZX" else cls(pid, found[1])

    @property
    def alive(self) -> bool:
        """Whether exactly this process still runs."""
        return Process.of(self.pid) == self

    @property
    def arguments(self) -> tuple[str, ...]:
        """Its command line; empty when it is gone."""
        data = read_if_there(f"/proc/{self.pid}/cmdline")
        return tuple(data.decode(errors="replace").split("\0")[:-1])

    def catches(self, number: int) -> bool:
        """Whether it has a handler for the signal: before that, most signals would end it (signal(7))."""
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            return False
        mask = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")), 0)
        return bool(mask >> (number - 1) & 1)

    def send(self, number: int) -> bool:
        """Signal exactly this process (pidfd, so that a reused pid is never hit). False when it is gone."""
        fd = _pidfd(self.pid)
        if fd < 0:
            return False
        try:
            if not self.alive:
                return False
            signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            return False
        else:
            return True
        finally:
            os.close(fd)

    def send_group(self, number: int) -> bool:
        """Signal the process group that it is in, when that is a session of its own; else it alone.

        For commands that an OCI runtime runs in a container: each has a session, whose leader may be gone. False when
        the process is gone.
        """
        try:
            group = os.getpgid(self.pid)
            apart = group == os.getsid(self.pid) != os.getsid(0)
            # As long as it is alive the number of its group is no other group's.
            if not self.alive:
                return False
            if apart:
                os.killpg(group, number)
                return True
        except ProcessLookupError:
            return False
        return self.send(number)

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within the time."""
        fd = _pidfd(self.pid)
        if fd < 0:
            return True
        try:
            if not self.alive:
                return True
            poller = select.poll()
            poller.register(fd, select.POLLIN)
            deadline = time.monotonic() + timeout_s
            while (left := deadline - time.monotonic()) > _LONGEST_POLL_S:
                if poller.poll(_LONGEST_POLL_S * 1000):
                    return True
            return bool(poller.poll(max(0.0, left) * 1000)) or not self.alive
        finally:
            os.close(fd)


def _pidfd(pid: int) -> int:
    """A descriptor of the process that has this pid now; -1 when there is none, or it is that of a thread."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.EINVAL, errno.ENOENT):
            return -1
        raise


@functools.cache
def boot_id() -> str:
    """The identifier of this boot: records of another boot speak of processes that are gone.

    It is the kernel's, and for a host that is a container of another one, when that was started too: each of its starts
    is a boot, which the kernel does not know.
    """
    found = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    init = None if Path("/proc/self/ns/pid").readlink() == _FIRST_PIDS else Process.of(1)
    return f"{found}+{init.start}" if init else found


def find_by_argument(*arguments: str) -> list[Process]:
    """Processes that have each of these, exactly, among their arguments."""
    wanted = {argument.encode() for argument in arguments}
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if wanted.issubset(words) and (process := Process.of(int(entry.name))):
            found.append(process)
    return found


def _stat(pid: int) -> tuple[str, int] | None:
    data = read_if_there(f"/proc/{pid}/stat")
    if not data:
        return None
    # The command's name stands in parentheses and may hold anything, so count from its end.
    fields = data.rpartition(b")")[2].split()
    return fields[0].decode(), int(fields[_STAT_STARTTIME - _STAT_STATE])


def bounding_set() -> int:
    """The capabilities that this process can give to others, a bit for each number (capabilities(7))."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("CapBnd:"))
