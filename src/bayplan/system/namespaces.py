"""Namespaces entered by threads of their own, so that the process as a whole stays where it is."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from bayplan.system import mounts
from bayplan.system.processes import Process

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
_OWN = "/proc/thread-self/ns/net"

T = TypeVar("T")
_libc = ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: int) -> None:
    if getattr(_libc, function)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def _nothing() -> None:
    """No work of the caller's."""


def in_thread(work: Callable[[], T], meanwhile: Callable[[], None] = _nothing) -> T:
    """Run ``work`` in a new thread that ends with it; a namespace it entered goes with the thread.

    ``meanwhile`` is done by the calling thread. Raises what it raises, else what ``work`` raises, after both ended.
    """
    result: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            result.append(work())
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            failure.append(error)

    thread = threading.Thread(target=body, name="namespace", daemon=True)
    thread.start()
    try:
        meanwhile()
    finally:
        thread.join()
    if failure:
        raise failure[0]
    return result[0]


def in_private_mounts(work: Callable[[], T], meanwhile: Callable[[], None] = _nothing) -> T:
    """Run ``work`` where mounts are seen by it and its child processes only; the kernel undoes them with the last.

    The v2 ``unified`` hierarchy is hidden there on hosts that mount it beside v1: with it crun refuses limits
    ("cgroups in hybrid mode not supported"). ``meanwhile``: see ``in_thread``.
    """

    def body() -> T:
        _call("unshare", CLONE_NEWNS)
        mounts.make_private("/")
        hide_unified()
        return work()

    return in_thread(body, meanwhile)


def clone_tree(process: Process, path: str) -> int:
    """A descriptor of a copy of the mount that a process sees at a path; see ``mounts.clone_tree``. Raises OSError."""

    def body() -> int:
        _call("unshare", CLONE_FS)
        fd = os.open(f"/proc/{process.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call("setns", fd, CLONE_NEWNS)
        finally:
            os.close(fd)
        return mounts.clone_tree(path)

    return in_thread(body)


def in_network(namespace: Path, work: Callable[[], T]) -> T:
    """Run ``work`` in a network namespace. Sockets it opens stay there."""

    def body() -> T:
        fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call("setns", fd, CLONE_NEWNET)
        finally:
            os.close(fd)
        return work()

    return in_thread(body)


def in_kernel_settings(process: Process, work: Callable[[], T]) -> T:
    """Run ``work`` where /proc/sys shows what the namespaces of a process have. Raises FileNotFoundError when it ended.

    Settings are those of the namespaces of whoever reads (namespaces(7)): network, IPC and UTS.
    """

    def body() -> T:
        for kind in ("net", "ipc", "uts"):
            fd = os.open(f"/proc/{process.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                if not process.alive:
                    raise FileNotFoundError(process.pid)
                _call("setns", fd, 0)
            finally:
                os.close(fd)
        return work()

    return in_thread(body)


class NetworkNamespace:
    """A network namespace, held by a descriptor.

    No file names it: with its last process and descriptor it ends, and its links with it, so that nothing stays
    behind and no mount namespace has to carry a mount for each container.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._close = weakref.finalize(self, os.close, fd)

    @classmethod
    def create(cls, furnish: Callable[[], None] = lambda: None) -> NetworkNamespace:
        """A new one; ``furnish`` runs inside it. Raises OSError."""
        with _return_home():
            _call("unshare", CLONE_NEWNET)
            made = cls(os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC))
            furnish()
        return made

    @classmethod
    def of(cls, process: Process) -> NetworkNamespace | None:
        """That of a running process; None when it has ended."""
        try:
            found = cls(os.open(f"/proc/{process.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        except (FileNotFoundError, ProcessLookupError):
            return None
        # Opened before it is asked: the pid may have been another's.
        return found if process.alive else None

    @property
    def path(self) -> Path:
        """A path to it for other processes of this PID namespace, while it is held."""
        return Path(f"/proc/{os.getpid()}/fd/{self.fd}")

    def visit(self, work: Callable[[], T]) -> T:
        """Run short work inside, in the calling thread (about 5 microseconds; another thread takes 200)."""
        with _return_home():
            _call("setns", self.fd, CLONE_NEWNET)
            return work()

    def close(self) -> None:
        """Let go of it."""
        self._close()


@contextmanager
def _return_home() -> Iterator[None]:
    """Bring the calling thread back to the network namespace in which it is now."""
    home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            _call("setns", home, CLONE_NEWNET)
        except OSError:
            # Whatever this thread did next, it would do to a container instead of the host.
            os.abort()
        os.close(home)


def hide_unified(root: Path = Path("/sys/fs/cgroup")) -> None:
    """Unmount ``unified`` where it is mounted beside v1 hierarchies. Only inside a private mount namespace."""
    try:
        mounts.unmount(f"{root}/unified", detach=True)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):  # nothing is mounted there
            raise
