"""Names resolved inside a directory by the kernel (openat2(2), Linux 5.6): no link or ``..`` leads out of it."""

from __future__ import annotations

import ctypes
import errno
import os

_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_TRIES = 1000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_in_root(root_fd: int, path: str | bytes, flags: int, mode: int = 0) -> int:
    """Open ``path`` with the directory ``root_fd`` as its root, close-on-exec. Raises OSError.

    Absolute links and ``..`` resolve against that root (RESOLVE_IN_ROOT), links of /proc are refused. Where something
    is renamed or mounted anywhere while a ``..`` is looked up, the kernel cannot be sure and says EAGAIN: try again.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, mode, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    name = os.fsencode(path) or b"."
    for _ in range(_TRIES):
        fd = _libc.syscall(_SYS_OPENAT2, root_fd, ctypes.c_char_p(name), ctypes.byref(how), ctypes.c_size_t(24))
        if fd >= 0:
            return int(fd)
        number = ctypes.get_errno()
        if number != errno.EAGAIN:
            break
    raise OSError(number, os.strerror(number), os.fsdecode(name))


def syncfs(fd: int) -> None:
    """Write the whole file system of ``fd`` to disk (syncfs(2)). Raises OSError."""
    if _libc.syncfs(fd) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
