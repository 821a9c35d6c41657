"""Container logs in the k8s-file form: ``TIME STREAM F|P TEXT`` (Kubernetes CRI logging format).

A log that was rotated is ``log``, before it ``log.1``, before that ``log.2`` and so on; readers go through them all,
and follow from one into the next.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from bayplan.runtime.native.containers.rotation import files
from bayplan.runtime.protocol import LogLine

_POLL_S = 0.1
_STREAMS = frozenset({"stdout", "stderr"})
_LONGEST = 1 << 20
"""Characters of a line after which it is given as it is: one without an end must not fill the reader's memory."""


def read(
    path: Path,
    *,
    follow: bool = False,
    tail: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    running: Callable[[], bool] = lambda: False,
) -> Iterator[LogLine]:
    """The lines, oldest first. ``follow`` goes on until the container has ended and all was read, or ``until``."""
    pieces: dict[str, LogLine] = {}
    reader = _Reader(path)
    try:
        last = () if follow else chain(_joined(reader.rest(), pieces), _unfinished(pieces))
        present = chain(_joined(reader.lines(), pieces), last)
        within = _within(present, since, until)
        yield from within if tail is None else deque(within, maxlen=max(tail, 0))
        while follow and (until is None or datetime.now(UTC) < until):
            alive = running()
            yield from _within(_joined(reader.lines(), pieces), since, until)
            if not alive:
                yield from _within(chain(_joined(reader.rest(), pieces), _unfinished(pieces)), since, until)
                return
            time.sleep(_POLL_S)
    finally:
        reader.close()


class _Reader:
    """Reads one file after the other, each to its end, whatever they are called meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: BinaryIO | None = None
        self._begun = b""
        """A line whose end is not written yet."""

    def lines(self) -> Iterator[bytes]:
        """What there is and was not read yet."""
        while True:
            # Looked up before the rest is read: the monitor writes no more into a file once there is a newer one.
            newer = self._following() is not None
            if self.file:
                yield from self._whole(self.file)
            if not newer:
                return
            yield from self.rest()
            # And again after it: meanwhile the files may have got other names.
            following = self._following()
            if following is not None:
                self._turn_to(*following)

    def _whole(self, file: BinaryIO) -> Iterator[bytes]:
        """Lines that are written to their end: what is read while the monitor writes may be a part of one."""
        for raw in file:
            if raw.endswith(b"\n"):
                yield self._begun + raw
                self._begun = b""
            else:
                self._begun += raw[:_LONGEST]

    def rest(self) -> Iterator[bytes]:
        """The last line, whose end will not come: the disk was full, or the power went."""
        if self._begun:
            yield self._begun
        self._begun = b""

    def _turn_to(self, path: Path, inode: int) -> None:
        """Open the file of that inode; left as it is when the path has become another's, to be looked up anew."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return
        if os.fstat(file.fileno()).st_ino != inode:
            file.close()
            return
        self.close()
        self.file = file

    def _following(self) -> tuple[Path, int] | None:
        """The file after the one that is open, with its inode; the oldest when none is."""
        known = [(item, _inode(item)) for item in files(self.path)]
        if self.file is None:
            return known[0] if known else None
        mine = os.fstat(self.file.fileno()).st_ino
        inodes = [inode for _, inode in known]
        if mine not in inodes:  # so old that it was removed
            return known[0] if known else None
        position = inodes.index(mine) + 1
        return known[position] if position < len(known) else None

    def close(self) -> None:
        """Close the file."""
        if self.file:
            self.file.close()
        self.file = None


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return -1


def _within(lines: Iterable[LogLine], since: datetime | None, until: datetime | None) -> Iterator[LogLine]:
    return (line for line in lines if (since is None or line.time >= since) and (until is None or line.time <= until))


def _joined(file: Iterable[bytes], pieces: dict[str, LogLine]) -> Iterator[LogLine]:
    """Parsed lines; pieces of a long line (``P``) are put together. What has no end yet stays in ``pieces``."""
    for raw in file:
        when, _, rest = raw.decode(errors="replace").rstrip("\n").partition(" ")
        stream, _, rest = rest.partition(" ")
        tag, _, text = rest.partition(" ")
        try:
            moment = _time(when)
        except ValueError:
            continue  # what a full disk or a power cut left of a line
        if stream not in _STREAMS:
            continue
        earlier = pieces.pop(stream, None)
        line = LogLine(moment, stream, (earlier.text if earlier else "") + text)
        if tag == "P" and len(line.text) < _LONGEST:
            pieces[stream] = line
        else:
            yield line


def _unfinished(pieces: dict[str, LogLine]) -> Iterator[LogLine]:
    """Last lines without a newline, as `printf` writes them."""
    yield from pieces.values()


def _time(text: str) -> datetime:
    """RFC 3339 with nanoseconds, of which microseconds are kept."""
    head, _, fraction = text.partition(".")
    digits = "".join(sign for sign in fraction[:9] if sign.isdigit())
    zone = fraction[len(digits) :] or "+00:00"
    return datetime.fromisoformat(f"{head}.{digits[:6]:0<6}{zone.replace('Z', '+00:00')}")
