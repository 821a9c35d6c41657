"""User numbers shifted by the kernel: a user namespace as a map, and mounts that show files through it.

mount_setattr(2), "ID-mapped mounts" (Linux 5.12; of which file systems: the same page): what is on disk stays as it is,
and a file of user 0 is seen as one of the map's first number.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bayplan.errors import UnsupportedError
from bayplan.system import mounts

COUNT = 65536
_SYS_MOUNT_SETATTR = 442
_AT_EMPTY_PATH = 0x1000
_MOUNT_ATTR_IDMAP = 0x00100000

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


@contextmanager
def user_map(base: int) -> Iterator[int]:
    """A descriptor of a user namespace in which 0 to 65535 are ``base`` and what follows.

    Raises UnsupportedError where there are no user namespaces (sysctl user.max_user_namespaces), OSError.
    """
    # By another process: one that has threads cannot enter a user namespace (unshare(2), EINVAL).
    argv = ["unshare", "--user", "sh", "-c", "echo; exec cat"]
    try:
        started = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise UnsupportedError("program unshare is not installed", hint="install package util-linux") from error
    with started as child:
        assert child.stdout is not None
        if not child.stdout.readline():
            raise UnsupportedError("this host gives no user namespaces", hint="see sysctl user.max_user_namespaces")
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{child.pid}/{name}").write_text(f"0 {base} {COUNT}\n")
        fd = os.open(f"/proc/{child.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        child.communicate()
    try:
        yield fd
    finally:
        os.close(fd)


def show(source: str, target: str, userns: int) -> None:
    """Mount a file or directory at a second place, its owners as the map has them. Raises OSError."""
    tree = mounts.clone_tree(source)
    try:
        wanted = _MountAttr(_MOUNT_ATTR_IDMAP, 0, 0, userns)
        done = _libc.syscall(
            _SYS_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, ctypes.byref(wanted), ctypes.c_size_t(ctypes.sizeof(wanted))
        )
        if done < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{os.strerror(number)}: its file system cannot show other owners", source)
        mounts.move_tree(tree, target)
    finally:
        os.close(tree)
