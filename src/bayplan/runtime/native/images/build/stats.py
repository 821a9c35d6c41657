"""Digests of a context's files, kept beside what stat(2) says of them: who has not been written to is not read again.

Size, inode, both times: any write sets the time of change from the kernel's own clock, and nobody can set that back.
Its steps are some milliseconds wide, so what was changed just before it was read is read again (as git has it, "racy").
Only a build writes here; a plan reads.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path

from bayplan.system.files import atomic_write

_STEP_NS = 100_000_000
_MOST = 64
"""Contexts that are remembered; the oldest go first."""


class Stats:
    """What is known of one context. Safe among threads."""

    def __init__(self, top: Path, context: Path) -> None:
        self._file = top / hashlib.sha256(os.fsencode(context)).hexdigest()[:32]
        self._known: dict[str, list[object]] | None = None
        self._seen: dict[str, list[object]] = {}

    def get(self, name: str, found: os.stat_result) -> str | None:
        """The digest of a file that is as it was."""
        if self._known is None:
            self._known = self._read()
        row = self._seen.get(name) or self._known.get(name)
        if not isinstance(row, list) or row[:-1] != _marks(found):
            return None
        self._seen[name] = row
        return str(row[-1])

    def put(self, name: str, found: os.stat_result, digest: str) -> None:
        """What was read of a file; ``found`` was asked before."""
        if max(found.st_ctime_ns, found.st_mtime_ns) < time.time_ns() - _STEP_NS:
            self._seen[name] = [*_marks(found), digest]

    def save(self) -> None:
        """Keep what was seen."""
        seen = dict(self._seen)
        if seen == (self._known or {}):
            return
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Not waited for: what a power cut takes is read again.
        atomic_write(self._file, json.dumps(seen).encode(), durable=False)
        self._known = seen
        with suppress(FileNotFoundError):  # another build forgets the same
            others = sorted(self._file.parent.iterdir(), key=lambda path: path.stat().st_mtime_ns)
            for path in others[:-_MOST]:
                path.unlink()

    def _read(self) -> dict[str, list[object]]:
        try:
            found = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _marks(found: os.stat_result) -> list[object]:
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
