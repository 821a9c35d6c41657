"""What a container wrote, read from systemd's journal, where the monitor's journald driver puts it.

Fields as conmon sets them: ``CONTAINER_ID_FULL``, ``CONTAINER_PARTIAL_MESSAGE`` for a piece of a longer line, and the
priority 6 for standard output, 3 for standard error (systemd.journal-fields(7)).
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from bayplan.errors import UnsupportedError
from bayplan.runtime.protocol import LogLine

_SOCKET = Path("/run/systemd/journal/socket")
_ERRORS = "3"
_LONGEST = 1 << 20
_SETTLE_S = 0.2


def check() -> None:
    """Raise UnsupportedError where there is no journal to write to or no way to read it."""
    if not _SOCKET.is_socket():
        raise UnsupportedError(f"log driver journald: this host has no journal ({_SOCKET})", hint="use json-file")
    if shutil.which("journalctl") is None:
        raise UnsupportedError("log driver journald: journalctl is not installed", hint="use json-file")


def read(
    container_id: str,
    *,
    follow: bool = False,
    tail: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    running: Callable[[], bool] = lambda: False,
) -> Iterator[LogLine]:
    """The lines, oldest first; ``follow`` goes on until the container has ended and all was read, or ``until``."""
    cursor: list[str] = []
    pieces: dict[str, LogLine] = {}
    present = _lines(container_id, cursor, pieces, since, until)
    found = present if follow else chain(present, _unfinished(pieces))
    yield from found if tail is None else deque(found, maxlen=max(tail, 0))
    while follow and (until is None or datetime.now(UTC) < until):
        alive = running()
        yield from _lines(container_id, cursor, pieces, since, until)
        if not alive:
            yield from _unfinished(pieces)
            return
        _wait()


def _wait() -> None:
    import time

    time.sleep(_SETTLE_S)


def _unfinished(pieces: dict[str, LogLine]) -> Iterator[LogLine]:
    """Last lines without a newline, as `printf` writes them."""
    yield from pieces.values()


def _lines(
    container_id: str,
    cursor: list[str],
    pieces: dict[str, LogLine],
    since: datetime | None,
    until: datetime | None,
) -> Iterator[LogLine]:
    """Lines after the cursor, which is moved on; what has no end yet stays in ``pieces``.

    Only of root, which the monitor is (the journal itself says who sent a line, ``_UID``): any user of the host could
    send some with the container's id.
    """
    argv = ["journalctl", "--quiet", "--no-pager", "--all", "--output=json"]
    argv += [f"CONTAINER_ID_FULL={container_id}", "_UID=0"]
    if cursor:
        argv.append(f"--after-cursor={cursor[0]}")
    elif since:
        argv.append(f"--since=@{since.timestamp():.6f}")
    if until:
        argv.append(f"--until=@{until.timestamp():.6f}")
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        try:
            for raw in child.stdout or ():
                entry = json.loads(raw)
                cursor[:] = [entry["__CURSOR"]]
                stream = "stderr" if entry.get("PRIORITY") == _ERRORS else "stdout"
                earlier = pieces.pop(stream, None)
                when = datetime.fromtimestamp(int(entry["__REALTIME_TIMESTAMP"]) / 1e6, UTC)
                line = LogLine(when, stream, (earlier.text if earlier else "") + _text(entry.get("MESSAGE")))
                if entry.get("CONTAINER_PARTIAL_MESSAGE") and len(line.text) < _LONGEST:
                    pieces[stream] = line
                else:
                    yield line
        finally:
            child.kill()


def _text(message: Any) -> str:
    """A text, or the numbers of its bytes when they are no UTF-8 (Journal JSON Format)."""
    if isinstance(message, list):
        return bytes(message).decode(errors="replace")
    return "" if message is None else str(message).rstrip("\n")
