"""How far long work of one request is, for whoever asks by another: pulls and builds take minutes.

A request with ``telling``, 32 hexadecimal digits that its asker chose, keeps its progress in a file of that name below
the run root. The verb ``told`` (option ``token``) answers with its ``lines``, or none. The file goes with the request.
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from bayplan import engines
from bayplan.bridge.rooms import Asked
from bayplan.errors import DeclarationError
from bayplan.models import Settings
from bayplan.runtime.protocol import Progress, Report, silent
from bayplan.system import files

_TOKEN = re.compile(r"[0-9a-f]{32}")
_EVERY_S = 0.5
_MOST_LINES = 8
_KILLED_S = 3600


class _Teller:
    """Writes what goes on, not more often than ``_EVERY_S``. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock, self._next = path, threading.Lock(), 0.0
        self._lines: dict[str, str] = {}

    def report(self, progress: Progress) -> None:
        with self._lock:
            self._lines.pop(progress.label, None)
            if progress.message or progress.done < progress.total:
                self._lines[progress.label] = _line(progress)
            if time.monotonic() < self._next:
                return
            self._next = time.monotonic() + _EVERY_S
            with suppress(OSError):  # work does not end because nobody can be told of it
                files.atomic_write(self._path, json.dumps([*self._lines.values()]).encode(), durable=False)

    def end(self) -> None:
        with self._lock:
            self._next = math.inf
            self._path.unlink(missing_ok=True)


_report: ContextVar[Report] = ContextVar("report", default=silent)


@contextmanager
def begun(token: object, settings: Settings) -> Iterator[None]:
    """Keep what the ``report`` of this thread hears, while this lasts, if somebody wants it.

    Raises DeclarationError for no token.
    """
    if token is None:
        yield
        return
    path = _path(token, settings)
    with suppress(OSError):
        files.private_directory(path.parent)
        _forget_killed(path.parent)
    teller = _Teller(path)
    before = _report.set(teller.report)
    try:
        yield
    finally:
        _report.reset(before)
        teller.end()


def report() -> Report:
    """Who hears how far long work of this thread's request is; to be given to what does that work, in any thread."""
    return _report.get()


def told(asked: Asked) -> dict[str, Any]:
    """The latest lines of another request, which may have ended."""
    path = _path(asked.options.get("token"), engines.chosen(asked.settings))
    try:
        lines = json.loads(path.read_bytes())
    except (OSError, ValueError):
        lines = []
    return {"changed": False, "lines": lines[-_MOST_LINES:]}


def _forget_killed(folder: Path) -> None:
    """Remove what requests left that were killed; one that is at work writes its file anew."""
    for file in folder.iterdir():
        if time.time() - file.stat().st_mtime > _KILLED_S:
            file.unlink(missing_ok=True)


def _path(token: object, settings: Settings) -> Path:
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise DeclarationError("telling is 32 hexadecimal digits", where="request")
    return settings.run_root / "telling" / token


def _line(progress: Progress) -> str:
    if progress.message:
        return f"{progress.label}: {progress.message}"
    if progress.unit != "bytes":
        return f"{progress.label}: {progress.done} of {progress.total} {progress.unit}"
    return f"{progress.label}: {progress.done / 1e6:.1f} of {progress.total / 1e6:.1f} MB"
