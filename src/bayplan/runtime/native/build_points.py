"""Mount points that the OCI runtime makes in a step's layer, and taking them out again.

With a mount over it no command has put data there, so they are empty afterwards. A command may have put a link in
their place or above: none is followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bayplan.system.beneath import open_in_root

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Point:
    """A mount's place: what of it was there, without links, and the names that were missing."""

    there: tuple[str, ...]
    missing: tuple[str, ...]


def look(root: Path, destinations: Sequence[str]) -> list[Point]:
    """The places of mounts in a file system before the runtime makes what is missing."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return [_point(fd, destination) for destination in destinations]
    finally:
        os.close(fd)


def _point(root: int, destination: str) -> Point:
    parts = tuple(part for part in destination.split("/") if part)
    top = _path(root)
    for count in range(len(parts), 0, -1):
        try:
            fd = open_in_root(root, "/".join(parts[:count]), os.O_PATH)
        except OSError:
            continue
        try:
            real = os.path.relpath(_path(fd), top)
        finally:
            os.close(fd)
        return Point(tuple(part for part in real.split("/") if part != "."), parts[count:])
    return Point((), parts)


def _path(fd: int) -> Path:
    return Path(f"/proc/self/fd/{fd}").readlink()


def remove(upper: Path, points: Sequence[Point], lowerdirs: Sequence[Path]) -> None:
    """Take them out of the layer, and the copies of directories above them that nothing else is in."""
    for point in sorted(points, key=lambda one: len(one.there) + len(one.missing), reverse=True):
        parts = [*point.there, *point.missing]
        while len(parts) > len(point.there) and _remove_empty(upper, parts, ()):
            parts.pop()
        while point.missing and parts and len(parts) <= len(point.there) and _remove_empty(upper, parts, lowerdirs):
            parts.pop()


def _remove_empty(upper: Path, parts: Sequence[str], same_as: Sequence[Path]) -> bool:
    """Remove an empty file or directory; whether the way is free to look at the directory above.

    With ``same_as`` only a directory that differs in nothing from that of the layers below.
    """
    fd = os.open(upper, _DIRECTORY)
    try:
        for part in parts[:-1]:
            below = os.open(part, _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = below
        found = os.stat(parts[-1], dir_fd=fd, follow_symlinks=False)
        names = os.listxattr(f"/proc/self/fd/{fd}/{parts[-1]}", follow_symlinks=False)
        if same_as and not _is_copy(found, names, parts, same_as):
            return False
        if stat.S_ISDIR(found.st_mode):
            os.rmdir(parts[-1], dir_fd=fd)
        elif stat.S_ISREG(found.st_mode) and not found.st_size:
            os.unlink(parts[-1], dir_fd=fd)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(fd)


def _is_copy(found: os.stat_result, names: Sequence[str], parts: Sequence[str], layers: Sequence[Path]) -> bool:
    if not stat.S_ISDIR(found.st_mode) or "trusted.overlay.opaque" in names:
        return False
    for layer in layers:
        top = os.open(layer, _DIRECTORY)
        try:
            fd = open_in_root(top, "/".join(parts), os.O_PATH | os.O_NOFOLLOW)
        except OSError:
            continue
        finally:
            os.close(top)
        below = os.fstat(fd)
        os.close(fd)
        return (found.st_mode, found.st_uid, found.st_gid) == (below.st_mode, below.st_uid, below.st_gid)
    return False
