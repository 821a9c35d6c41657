"""Files written so that a power cut leaves the old or the new content, and locks that a killed holder frees."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bayplan.errors import BusyError, UnsupportedError

_POLL_S = 0.02


def fsync_dir(path: Path) -> None:
    """Make the names in a directory durable (fsync(2), "does not necessarily ensure that the entry ...")."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def private_directory(path: Path, *, tighten: bool = True) -> None:
    """Make a directory, and those above it that are missing, into which only we can look, whatever the umask is.

    ``tighten`` takes from one that is there what others may do. Below a directory of containers that others can pass,
    any user of the host could run a set-user-id program that a container has left in a volume (CVE-2021-41091).
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        private_directory(path.parent, tighten=False)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        return
    if tighten and mode & 0o077:
        path.chmod(0o700)


def write_private(path: Path, text: str) -> None:
    """Write a file that only we can read, whatever the umask is; for those that a cut change makes anew."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        os.fchmod(fd, 0o600)
        file.write(text)


def atomic_write(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Replace a file's content at once by a rename; ``durable`` also waits for the disk. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        fsync_dir(path.parent)


def create_once(path: Path, data: bytes) -> bytes:
    """Make a durable file (mode 0600) unless it is there; what is in it then, which of several makers wrote first."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        atomic_write(temporary, data)
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_dir(path.parent)
    return path.read_bytes()


def read_begin(path: str, most: int) -> bytes | None:
    """At most so many bytes of a file that somebody else may have written; None when it is gone, or a link."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return os.pread(fd, most, 0)
    finally:
        os.close(fd)


def read_if_there(path: str) -> bytes:
    """The content of a small file, as of proc(5) or a cgroup; empty when it is gone, as its process or group may be.

    For what is read of every container: pathlib's way takes four times as long.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        pieces = []
        while piece := os.read(fd, 1 << 16):
            pieces.append(piece)
        return b"".join(pieces)
    except OSError:  # it went away meanwhile
        return b""
    finally:
        os.close(fd)


def write_kernel_file(path: str, text: str) -> None:
    """Write a file of proc(5), sysfs or a cgroup; nothing is done where the kernel has none. Raises OSError."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


@contextmanager
def locked(path: Path, purpose: str, timeout_s: float | None = None) -> Iterator[None]:
    """Hold flock(2) on ``path``; the kernel frees it when the holder dies. The file names the holder for others.

    ``timeout_s`` None waits on. Raises BusyError naming the holder, UnsupportedError on a read-only file system.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        raise UnsupportedError(
            "the file system is read-only: nothing can be changed",
            where=str(path.parent),
            hint="look at the kernel's log, and mount it anew",
        ) from error
    try:
        _acquire(fd, path, timeout_s)
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps({"pid": os.getpid(), "purpose": purpose}).encode(), 0)
        try:
            yield
        finally:
            with suppress(OSError):  # what was done stays done; the kernel lets go of the lock all the same
                os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _acquire(fd: int, path: Path, timeout_s: float | None) -> None:
    if timeout_s is None:
        fcntl.flock(fd, fcntl.LOCK_EX)
        return
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        else:
            return
        if time.monotonic() >= deadline:
            what = f"another change holds this host: {_holder(fd)}"
            raise BusyError(what, where=str(path), hint="wait, or try again")
        time.sleep(_POLL_S)


def holder(path: Path) -> str:
    """Who holds ``locked`` on a path now, as a BusyError names it; empty for nobody. It is only read: nothing waits.

    By proc_locks(5), where somebody has written himself into it: an attempt to take it would be in the way of who takes
    it then. The kernel takes some 10 ms for that list: it stops all locks of the host for it.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not status.st_size:
                return ""
            found = _holder(file.fileno())
        with Path("/proc/locks").open(encoding="ascii") as locks:
            held = (line.split() for line in locks if f":{status.st_ino} " in line)
            return found if any(f"process {words[4]}, " in found for words in held if words[1] == "FLOCK") else ""
    except OSError:
        return ""


def _holder(fd: int) -> str:
    """Who has written itself into a lock; a holder that has only just come may not have."""
    try:
        found = json.loads(os.pread(fd, 4096, 0))
        return f"process {found['pid']}, {found['purpose']}"
    except (ValueError, TypeError, KeyError):
        return "an unknown process"
