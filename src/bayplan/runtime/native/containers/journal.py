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
    found = _lines(container_id, cursor, since, until)
    yield from found if tail is None else deque(found, maxlen=max(tail, 0))
    while follow and (until is None or datetime.now(UTC) < until):
        alive = running()
        yield from _lines(container_id, cursor, since, until)
        if not alive:
            return
        _wait()


def _wait() -> None:
    import time

    time.sleep(_SETTLE_S)


def _lines(container_id: str, cursor: list[str], since: datetime | None, until: datetime | None) -> Iterator[LogLine]:
    """Lines after the cursor, which is moved on."""
    argv = ["journalctl", "--quiet", "--no-pager", "--all", "--output=json", f"CONTAINER_ID_FULL={container_id}"]
    if cursor:
        argv.append(f"--after-cursor={cursor[0]}")
    elif since:
        argv.append(f"--since=@{since.timestamp():.6f}")
    if until:
        argv.append(f"--until=@{until.timestamp():.6f}")
    pieces: dict[str, str] = {}
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        try:
            for raw in child.stdout or ():
                entry = json.loads(raw)
                cursor[:] = [entry["__CURSOR"]]
                stream = "stderr" if entry.get("PRIORITY") == _ERRORS else "stdout"
                text = pieces.pop(stream, "") + _text(entry.get("MESSAGE"))
                if entry.get("CONTAINER_PARTIAL_MESSAGE") and len(text) < _LONGEST:
                    pieces[stream] = text
                    continue
                when = datetime.fromtimestamp(int(entry["__REALTIME_TIMESTAMP"]) / 1e6, UTC)
                yield LogLine(when, stream, text)
        finally:
            child.kill()


def _text(message: Any) -> str:
    """A text, or the numbers of its bytes when they are no UTF-8 (Journal JSON Format)."""
    if isinstance(message, list):
        return bytes(message).decode(errors="replace")
    return "" if message is None else str(message).rstrip("\n")
