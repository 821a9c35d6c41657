"""``user[:group]`` to numbers, by the image's own passwd(5) and group(5).

The files are the image's, so they are opened without following links or blocking on a FIFO, and read up to a cap.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from bayplan.errors import NotFoundError
from bayplan.values import frozen

_CAP_BYTES = 1 << 20
_HIGHEST_ID = 2**31 - 1
_DIGITS = 20


@frozen
class User:
    """Numbers of a process's owner, and the home directory of its passwd entry."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


def resolve(spelling: str, lowerdirs: Sequence[Path], group_add: Iterable[str] = ()) -> User:
    """Numbers of ``user[:group]``; empty is root. Raises NotFoundError for a name the image does not have."""
    passwd = _entries(_read(lowerdirs, "etc/passwd"), 7)
    groups = _entries(_read(lowerdirs, "etc/group"), 4)
    wanted, colon, wanted_group = (spelling or "0").partition(":")
    entry = next((item for item in passwd if wanted in (item[0], item[2])), None)
    if entry is None and not _is_number(wanted):
        raise NotFoundError(f"user {wanted!r} is not in the image's /etc/passwd", hint="use a number")
    uid = _number(entry[2] if entry else wanted)
    gid = _group(wanted_group, groups) if colon else _number(entry[3]) if entry else 0
    extra = [_group(name, groups) for name in group_add]
    if entry and not colon:
        extra += [_number(item[2]) for item in groups if entry[0] in item[3].split(",")]
    return User(uid, gid, tuple(dict.fromkeys(extra)), entry[5] if entry and entry[5] else "/")


def _group(wanted: str, groups: Sequence[Sequence[str]]) -> int:
    entry = next((item for item in groups if wanted in (item[0], item[2])), None)
    if entry is None and not _is_number(wanted):
        raise NotFoundError(f"group {wanted!r} is not in the image's /etc/group", hint="use a number")
    return _number(entry[2] if entry else wanted)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(text: str) -> int:
    value = int(text) if _is_number(text) and len(text) <= _DIGITS else -1
    if not 0 <= value <= _HIGHEST_ID:
        raise NotFoundError(f"{text[:40]!r} is no user or group number")
    return value


def _entries(text: str, width: int) -> list[list[str]]:
    rows = [line.split(":") for line in text.split("\n")]  # not at what else splitlines takes for an end
    return [row for row in rows if len(row) >= width]


def _read(lowerdirs: Sequence[Path], name: str) -> str:
    """The topmost layer's file; one that is no regular file counts as absent."""
    for layer in lowerdirs:
        path = layer / name
        if layer.joinpath("etc").is_symlink():
            return ""
        hides = _is_opaque(path.parent)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            if hides:
                return ""
            continue
        except OSError:  # ELOOP: a link; ENXIO: it was deleted over the lower layers; ENOTDIR
            return ""
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return ""
            return os.read(fd, _CAP_BYTES).decode(errors="replace")
        finally:
            os.close(fd)
    return ""


def _is_opaque(directory: Path) -> bool:
    """Whether the overlay shows nothing of what lower layers have in it (kernel, filesystems/overlayfs)."""
    try:
        return os.getxattr(directory, "trusted.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False
