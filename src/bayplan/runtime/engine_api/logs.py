"""What containers wrote, read back from the engine (ContainerLogs)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.runtime.engine_api.status import moment
from bayplan.runtime.engine_api.streams import frames
from bayplan.runtime.protocol import LogLine

_LONGEST = 1 << 20
"""Bytes of a line after which it is given as it is: one without an end must not fill the reader's memory."""
_STREAMS = {1: "stdout", 2: "stderr"}


def read(
    client: EngineClient,
    found: Mapping[str, Any],
    *,
    follow: bool,
    tail: int | None,
    since: datetime | None,
    until: datetime | None,
) -> Iterator[LogLine]:
    """The lines of an inspected container, oldest first."""
    # Times are cut to microseconds here, but not there; Podman knows whole seconds alone.
    slack = timedelta(seconds=1) if client.kind == "podman" else timedelta(microseconds=1)
    query = {
        "stdout": True,
        "stderr": True,
        "timestamps": True,
        "follow": follow,
        "tail": "all" if tail is None else max(tail, 0),
        "since": None if since is None else _seconds(since),
        "until": None if until is None else _seconds(until + slack),
    }
    with told(f"container {str(found['Name']).lstrip('/')}"):
        pieces = client.streamed("GET", f"/containers/{found['Id']}/logs", query=query)
        tty = bool((found.get("Config") or {}).get("Tty"))
        for line in _parsed(pieces, tty=tty):
            if (since is None or line.time >= since) and (until is None or line.time <= until):
                yield line


def _seconds(when: datetime) -> str:
    """As the API takes it; a float would not hold it."""
    whole = int(when.astimezone(UTC).replace(microsecond=0).timestamp())
    return f"{whole}.{when.microsecond * 1000:09d}"


def _parsed(pieces: Iterator[bytes], *, tty: bool) -> Iterator[LogLine]:
    """Lines with their times. A long line comes in several messages, each with a time of its own in front."""
    begun: dict[int, tuple[str, bytes]] = {}
    for stream, message in _messages(pieces, tty=tty):
        time, _, text = message.partition(b" ")
        first, held = begun.pop(stream, (time.decode(errors="replace"), b""))
        whole = held + text
        if not message.endswith(b"\n") and len(whole) < _LONGEST:
            begun[stream] = (first, whole)
        elif (line := _line(stream, first, whole)) is not None:
            yield line
    for stream, (first, held) in begun.items():
        if (line := _line(stream, first, held)) is not None:
            yield line


def _messages(pieces: Iterator[bytes], *, tty: bool) -> Iterator[tuple[int, bytes]]:
    """One message each: a frame, or with a terminal a line."""
    held = b""
    for stream, data in frames(pieces, tty=tty):
        if not tty:
            yield stream, data
            continue
        *whole, held = (held + data).split(b"\n")
        yield from ((1, item + b"\n") for item in whole)
    if held:
        yield 1, held


def _line(stream: int, time: str, text: bytes) -> LogLine | None:
    try:
        when = moment(time)
    except ValueError:  # what a full disk left of a line
        return None
    if when is None:
        return None
    return LogLine(when, _STREAMS.get(stream, "stdout"), text.removesuffix(b"\n").decode(errors="replace"))
