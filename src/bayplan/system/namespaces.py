"""Namespaces entered by threads of their own, so that the process as a whole stays where it is."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bayplan.system import mounts

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000

T = TypeVar("T")
_libc = ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: int) -> None:
    if getattr(_libc, function)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def in_thread(work: Callable[[], T]) -> T:
    """Run ``work`` in a new thread that ends with it; a namespace it entered goes with the thread.

    Raises what ``work`` raises.
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
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def in_private_mounts(work: Callable[[], T]) -> T:
    """Run ``work`` where mounts are seen by it and its child processes only; the kernel undoes them with the last.

    The v2 ``unified`` hierarchy is hidden there on hosts that mount it beside v1: with it crun refuses limits
    ("cgroups in hybrid mode not supported").
    """

    def body() -> T:
        _call("unshare", CLONE_NEWNS)
        mounts.make_private("/")
        hide_unified()
        return work()

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


def create_network_namespace(path: Path, furnish: Callable[[], None] = lambda: None) -> None:
    """A new network namespace kept by a bind mount on ``path`` (as ip-netns(8) does). Raises OSError.

    ``furnish`` runs inside it, in the same thread: entering it again would cost another.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)

    def body() -> None:
        _call("unshare", CLONE_NEWNET)
        mounts.bind("/proc/thread-self/ns/net", str(path))
        furnish()

    in_thread(body)


def is_namespace(path: Path) -> bool:
    """Whether a network namespace is bound there (a plain file is what a reboot or a kill leaves)."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except FileNotFoundError:
        return False


def remove_network_namespace(path: Path) -> None:
    """Let go of it; its links go with it. Absent is no error."""
    while is_namespace(path):
        mounts.unmount(str(path), detach=True)
    path.unlink(missing_ok=True)


def hide_unified(root: Path = Path("/sys/fs/cgroup")) -> None:
    """Unmount ``unified`` where it is mounted beside v1 hierarchies. Only inside a private mount namespace."""
    unified = root / "unified"
    if unified.is_mount():
        mounts.unmount(str(unified), detach=True)
