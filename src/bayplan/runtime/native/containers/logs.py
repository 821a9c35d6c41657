"""Container logs in the k8s-file form: ``TIME STREAM F|P TEXT`` (Kubernetes CRI logging format)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path

from bayplan.runtime.protocol import LogLine

_POLL_S = 0.1


def read(
    path: Path,
    *,
    follow: bool = False,
    tail: int | None = None,
    since: datetime | None = None,
    running: Callable[[], bool] = lambda: False,
) -> Iterator[LogLine]:
    """The lines, oldest first. ``follow`` goes on until the container has ended and all was read."""
    if not path.exists():
        return
    pieces: dict[str, LogLine] = {}
    with path.open("rb") as file:
        present = chain(_joined(file, pieces), () if follow else _unfinished(pieces))
        lines: Iterable[LogLine] = present if tail is None else deque(present, maxlen=max(tail, 0))
        yield from _newer(lines, since)
        while follow:
            alive = running()
            yield from _newer(_joined(file, pieces), since)
            if not alive:
                yield from _newer(_unfinished(pieces), since)
                return
            time.sleep(_POLL_S)


def _newer(lines: Iterable[LogLine], since: datetime | None) -> Iterator[LogLine]:
    return (line for line in lines if since is None or line.time >= since)


def _joined(file: Iterable[bytes], pieces: dict[str, LogLine]) -> Iterator[LogLine]:
    """Parsed lines; pieces of a long line (``P``) are put together. What has no end yet stays in ``pieces``."""
    for raw in file:
        when, _, rest = raw.decode(errors="replace").rstrip("\n").partition(" ")
        stream, _, rest = rest.partition(" ")
        tag, _, text = rest.partition(" ")
        earlier = pieces.pop(stream, None)
        line = LogLine(_time(when), stream, (earlier.text if earlier else "") + text)
        if tag == "P":
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
