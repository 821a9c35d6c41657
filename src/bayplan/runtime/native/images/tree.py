"""A container's file system as its layers make it: what overlayfs shows, and what the topmost layer changed.

Everything is reached by directory descriptors and no link is followed: the container may run and move things about
while it is read (CVE-2018-15664 is what paths would allow).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bayplan.errors import UnsupportedError
from bayplan.runtime.native.images import layer_bytes

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPAQUE = "trusted.overlay.opaque"
_MAX_DEPTH = 500


@dataclass(frozen=True)
class Entry:
    """One name. ``fd`` is the directory that holds it and ``base`` its name there, valid until the next entry."""

    name: str
    fd: int
    base: str
    found: os.stat_result
    is_own: bool
    """It lies in the topmost layer."""
    is_below: bool
    """The layers below show something under this name."""
    is_gone: bool = False
    """The topmost layer takes it away; ``found`` is what it was."""
    by_opaque: bool = False
    """It went with the whole content of its directory, or is a directory that hides its lower content."""


def walk(upper: Path | None, lowers: Sequence[Path], *, changes_only: bool) -> Iterator[Entry]:
    """Every name, sorted, a directory before its content; ``changes_only`` leaves out what only lower layers have.

    Without it, what is gone is left out. Raises UnsupportedError for redirects of the overlay, which name other paths.
    """
    with ExitStack() as stack:
        own = stack.enter_context(_opened(upper, None)) if upper and upper.is_dir() else None
        below = [stack.enter_context(_opened(path, None)) for path in lowers]
        yield from _Walk(changes_only).directory("", own, below, hidden=False, depth=0)


class _Walk:
    def __init__(self, changes_only: bool) -> None:
        self._changes_only = changes_only

    def directory(
        self, prefix: str, own: int | None, lowers: list[int], *, hidden: bool, depth: int
    ) -> Iterator[Entry]:
        if depth > _MAX_DEPTH:
            raise UnsupportedError(f"/{prefix} lies more than {_MAX_DEPTH} directories deep")
        mine = _names(own) if own is not None else set()
        names = mine if self._changes_only and not hidden else mine.union(*map(_names, lowers))
        for base in sorted(names):
            name = f"{prefix}/{base}".lstrip("/")
            with ExitStack() as stack:
                seen, holders = _lower(lowers, base)
                top = _stat(own, base) if own is not None else None
                if top is None:
                    yield from self._only_below(name, base, seen, holders, hidden=hidden, depth=depth, stack=stack)
                    continue
                assert own is not None
                if _is_whiteout(top):
                    if seen and self._changes_only:
                        yield Entry(name, own, base, seen, is_own=True, is_below=True, is_gone=True)
                    continue
                opaque, child = False, None
                if stat.S_ISDIR(top.st_mode):
                    child = _enter(stack, own, base)
                    if child is None:
                        continue  # the container took it away just now
                    opaque = _is_opaque(child)
                yield Entry(name, own, base, top, is_own=True, is_below=seen is not None, by_opaque=opaque)
                if child is not None:
                    fds = [fd for holder in holders if (fd := _enter(stack, holder, base)) is not None]
                    below = fds if seen and stat.S_ISDIR(seen.st_mode) else []
                    yield from self.directory(name, child, below, hidden=hidden or opaque, depth=depth + 1)

    def _only_below(
        self,
        name: str,
        base: str,
        seen: os.stat_result | None,
        holders: list[int],
        *,
        hidden: bool,
        depth: int,
        stack: ExitStack,
    ) -> Iterator[Entry]:
        if seen is None or (hidden and not self._changes_only):
            return
        if hidden or not self._changes_only:
            yield Entry(name, holders[0], base, seen, is_own=False, is_below=True, is_gone=hidden, by_opaque=hidden)
        if not hidden and not self._changes_only and stat.S_ISDIR(seen.st_mode):
            fds = [fd for holder in holders if (fd := _enter(stack, holder, base)) is not None]
            yield from self.directory(name, None, fds, hidden=False, depth=depth + 1)


def attributes(entry: Entry) -> dict[str, bytes]:
    """Extended attributes that belong to the file, not to the overlay. Raises UnsupportedError for redirects."""
    try:
        return layer_bytes.attributes(f"/proc/self/fd/{entry.fd}/{entry.base}", f"/{entry.name}")
    except FileNotFoundError:
        return {}


def _lower(lowers: Sequence[int], base: str) -> tuple[os.stat_result | None, list[int]]:
    """What the lower layers show under a name, and the directories that hold a part of it, topmost first."""
    first: os.stat_result | None = None
    holders: list[int] = []
    for fd in lowers:
        found = _stat(fd, base)
        if found is None:
            continue
        if _is_whiteout(found) or (first and not stat.S_ISDIR(found.st_mode)):
            break
        first = first or found
        holders.append(fd)
        if not stat.S_ISDIR(found.st_mode):
            break
        with _opened(base, fd) as child:
            if _is_opaque(child):
                break
    return first, holders


@contextmanager
def _opened(path: Path | str, parent: int | None) -> Iterator[int]:
    fd = os.open(path, _DIRECTORY, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)


def _enter(stack: ExitStack, parent: int, base: str) -> int | None:
    try:
        return stack.enter_context(_opened(base, parent))
    except (FileNotFoundError, NotADirectoryError, OSError):
        return None


def _stat(fd: int, base: str) -> os.stat_result | None:
    try:
        return os.stat(base, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _names(fd: int) -> set[str]:
    return set(os.listdir(fd))


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _is_opaque(fd: int) -> bool:
    try:
        return os.getxattr(fd, _OPAQUE) == b"y"
    except OSError:
        return False
