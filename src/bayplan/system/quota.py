"""Project quotas of ext4 and XFS, a limit on what a directory tree may hold (quotactl(2), FS_IOC_FSSETXATTR).

A file belongs to the project of the directory in which it is made, as far as that says so (PROJINHERIT).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

# kernel: include/uapi/linux/{fs,quota,dqblk_xfs}.h; the same on every architecture that we know.
_FSGETXATTR, _FSSETXATTR = 0x801C581F, 0x401C5820
_FSXATTR = struct.Struct("=IIIII8x")
_PROJINHERIT = 0x200
_SYS_QUOTACTL_FD = 443
_PROJECT = 2
_Q_XGETQUOTA, _Q_XSETQLIM = 0x5803, 0x5804
_DQBLK = struct.Struct("=bbHIQQQQQQiiHH4xQQQihbb8x")
_VERSION, _BLOCK_HARD, _BLOCK_SOFT = 1, 1 << 3, 1 << 2
_BLOCK_BYTES = 512

_libc = ctypes.CDLL(None, use_errno=True)


def is_enforced(path: str) -> bool:
    """Whether the file system at a path counts and limits projects now."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _quotactl(fd, _Q_XGETQUOTA, 0, ctypes.create_string_buffer(_DQBLK.size)) in (0, errno.ENOENT)
    finally:
        os.close(fd)


def project_of(path: str) -> int:
    """The project of a directory; 0 where there is none."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return int(_FSXATTR.unpack(_attributes(fd))[3])
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EOPNOTSUPP):
            return 0
        raise
    finally:
        os.close(fd)


def assign(path: str, project: int) -> None:
    """Make a directory, and what will be made in it, the project's. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags, extent, number, _, cow = _FSXATTR.unpack(_attributes(fd))
        fcntl.ioctl(fd, _FSSETXATTR, _FSXATTR.pack(flags | _PROJINHERIT, extent, number, project, cow))
    finally:
        os.close(fd)


def limit(path: str, project: int, size_bytes: int) -> None:
    """Let a project hold at most so many bytes on the file system at a path; 0 is no limit. Raises OSError."""
    fields = [0] * 21
    fields[0], fields[1], fields[2], fields[3] = _VERSION, _PROJECT, _BLOCK_HARD | _BLOCK_SOFT, project
    fields[4] = fields[5] = -(-size_bytes // _BLOCK_BYTES)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        number = _quotactl(fd, _Q_XSETQLIM, project, ctypes.create_string_buffer(_DQBLK.pack(*fields), _DQBLK.size))
    finally:
        os.close(fd)
    if number:
        raise OSError(number, f"limit of project {project}: {os.strerror(number)}", path)


def limit_of(path: str, project: int) -> int:
    """The limit of a project in bytes; 0 is none."""
    buffer = ctypes.create_string_buffer(_DQBLK.size)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _quotactl(fd, _Q_XGETQUOTA, project, buffer):
            return 0
    finally:
        os.close(fd)
    return int(_DQBLK.unpack(buffer.raw)[4]) * _BLOCK_BYTES


def _attributes(fd: int) -> bytes:
    return fcntl.ioctl(fd, _FSGETXATTR, bytes(_FSXATTR.size))


def _quotactl(fd: int, command: int, project: int, buffer: ctypes.Array[ctypes.c_char]) -> int:
    """0, or the number of the error (quotactl_fd(2), Linux 5.14)."""
    done = _libc.syscall(_SYS_QUOTACTL_FD, fd, command << 8 | _PROJECT, project, buffer)
    return ctypes.get_errno() if done < 0 else 0
