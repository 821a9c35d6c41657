"""mount(2), umount2(2) and the new mount API (fsopen(2) ...) by ctypes: no process is started for a mount."""

from __future__ import annotations

import ctypes
import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2

_FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 1, 6
_AT_FDCWD = -100
_MOVE_MOUNT_F_EMPTY_PATH = 4
# The same numbers on every architecture (kernel: scripts/syscall.tbl).
_SYS_OPEN_TREE = 428
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
_SYS_MOVE_MOUNT, _SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT = 429, 430, 431, 432

_OPTIONS_BYTES = 4000
"""What mount(2) takes of options: a page, with room for what the kernel adds."""
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    """Attach a file system or change a mount; the system call of that name. Raises OSError naming the target."""
    result = _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _check(result, f"mount on {target}")


def bind(source: str, target: str) -> None:
    """Show a file or directory at a second place."""
    mount(source, target, "none", MS_BIND)


def unmount(target: str, *, detach: bool = False) -> None:
    """Unmount by umount2(2); ``detach`` takes it out of the tree now and lets go when it is no longer used."""
    _check(_libc.umount2(target.encode(), MNT_DETACH if detach else 0), f"unmount of {target}")


def mounted_at_or_below(path: Path) -> list[str]:
    """Where something is mounted on ``path`` or in it, as this mount namespace sees it (proc_pid_mountinfo(5)).

    Not by comparing devices, as ``Path.is_mount`` does: a directory bound from the same file system has the same.
    """
    top = os.path.realpath(path)
    found = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        point = os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), line.split()[4]))
        if point == top or point.startswith(f"{top}/"):
            found.append(point)
    return found


def is_mounted(path: Path) -> bool:
    """Whether something is mounted on exactly this directory."""
    return os.path.realpath(path) in mounted_at_or_below(path)


def make_private(target: str = "/") -> None:
    """No mount below passes to or from another mount namespace (mount_namespaces(7))."""
    mount("none", target, "none", MS_REC | MS_PRIVATE)


def clone_tree(path: str) -> int:
    """A descriptor of a copy of the mount at a path, attached nowhere (open_tree(2)). Raises OSError."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC
    return _check(_libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, path.encode(), flags), f"copy of mount {path}")


def move_tree(tree: int, target: str) -> None:
    """Attach what ``clone_tree`` gave, in the mount namespace of the caller (move_mount(2)). Raises OSError."""
    moved = _libc.syscall(_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, target.encode(), _MOVE_MOUNT_F_EMPTY_PATH)
    _check(moved, f"mount on {target}")


_WHOLE = {"redirect_dir": "nofollow", "metacopy": "off"}
"""What is moved is written whole, whatever the module's parameters say: an upper directory that only names where things
were can be no layer (kernel: overlayfs.rst, "Renaming directories", "Metadata only copy up")."""
_no_single_layers: list[bool] = []
"""Not empty: this kernel does not know ``lowerdir+``; it is asked only once, as it logs each time."""


def mount_overlay(lowerdirs: Sequence[Path], upper: Path | None, work: Path | None, target: Path) -> None:
    """An overlay of any number of layers, topmost first.

    mount(2) takes its options in one page, about 40 layers; fsconfig(2) takes one layer a call (``lowerdir+``,
    Linux 6.8). Older kernels get mount(2), many layers by the short names of descriptors: some 200. Raises OSError.
    """
    if upper is None and len(lowerdirs) == 1:
        mount(str(lowerdirs[0]), str(target), "none", MS_BIND)
        mount("none", str(target), "none", MS_REMOUNT | MS_BIND | MS_RDONLY)
        return
    if _no_single_layers:
        _mount_overlay_by_options(lowerdirs, upper, work, target)
        return
    try:
        context = _check(_libc.syscall(_SYS_FSOPEN, b"overlay", 1), "fsopen overlay")
    except OSError:
        _mount_overlay_by_options(lowerdirs, upper, work, target)
        return
    try:
        for layer in lowerdirs:
            _set(context, "lowerdir+", str(layer))
        if upper is not None and work is not None:
            _set(context, "upperdir", str(upper))
            _set(context, "workdir", str(work))
        for name, value in _WHOLE.items():
            _set(context, name, value)
        _set(context, "source", "bayplan")
        _check(_libc.syscall(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0), f"overlay for {target}")
        tree = _check(_libc.syscall(_SYS_FSMOUNT, context, 1, 0), f"overlay for {target}")
        try:
            moved = _libc.syscall(_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, str(target).encode(), _MOVE_MOUNT_F_EMPTY_PATH)
            _check(moved, f"overlay on {target}")
        finally:
            os.close(tree)
    except OSError as error:
        # EINVAL: this kernel does not know ``lowerdir+`` yet.
        if error.errno != errno.EINVAL:
            raise
        _no_single_layers.append(True)
        _mount_overlay_by_options(lowerdirs, upper, work, target)
    finally:
        os.close(context)


def _set(context: int, key: str, value: str) -> None:
    result = _libc.syscall(_SYS_FSCONFIG, context, _FSCONFIG_SET_STRING, key.encode(), value.encode(), 0)
    _check(result, f"overlay option {key}={value}")


def _mount_overlay_by_options(lowerdirs: Sequence[Path], upper: Path | None, work: Path | None, target: Path) -> None:
    rest = f",upperdir={upper},workdir={work}" if upper is not None and work is not None else ""
    rest += "".join(f",{name}={value}" for name, value in _WHOLE.items())
    names = [str(item) for item in lowerdirs]
    with ExitStack() as held:
        if sum(map(len, names)) + len(names) + len(rest) > _OPTIONS_BYTES:
            names = [f"/proc/self/fd/{held.enter_context(_opened(item))}" for item in lowerdirs]
        mount("overlay", str(target), "overlay", 0, f"lowerdir={':'.join(names)}{rest}")


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
