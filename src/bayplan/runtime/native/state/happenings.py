"""What happens to containers, as it happens: one line of JSON each, for people who ask ``events``.

No part of the state: nothing is decided by it, and what cannot be written (a full disk) is left out. A line is appended
by one write(2), so that processes do not mix theirs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from bayplan.runtime.native.state.database import Database
from bayplan.runtime.spare import plain_name
from bayplan.runtime.verbs import Happening

_NAME = "happenings.jsonl"
_MOST_BYTES = 4 << 20
_LONGEST_DETAIL = 500


def note(database: Database, container_id: str, action: str, detail: str = "", *, at: str | None = None) -> None:
    """Note an action on a recorded container, of now or ``at``; one that has no record any more is left out."""
    rows = database.query("SELECT name, project FROM containers WHERE id = ?", (container_id,))
    if rows:
        append(database.path.parent, str(rows[0]["project"]), str(rows[0]["name"]), action, detail, at=at)


def append(state_root: Path, project: str, name: str, action: str, detail: str = "", *, at: str | None = None) -> None:
    """Add a line, whatever the record says."""
    entry = [at or datetime.now(UTC).isoformat(), project, plain_name(name), action, detail[:_LONGEST_DETAIL]]
    path = f"{state_root}/{_NAME}"
    with suppress(OSError):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(path, flags, 0o600)
        try:
            os.write(fd, (json.dumps(entry) + "\n").encode())
            found = os.fstat(fd)
            # Unless another process has done so: it would be the new file, over the one that was full.
            if found.st_size > _MOST_BYTES and Path(path).stat().st_ino == found.st_ino:
                Path(path).rename(Path(path).with_suffix(".1"))
        finally:
            os.close(fd)


def read(state_root: Path) -> Iterator[Happening]:
    """Those that are kept, oldest first; a line that was cut short is left out."""
    path = state_root / _NAME
    for file in (path.with_suffix(".1"), path):
        with suppress(FileNotFoundError):
            for line in file.read_text(errors="replace").splitlines():
                with suppress(ValueError):
                    when, project, name, action, detail = json.loads(line)
                    yield datetime.fromisoformat(when), project, name, action, detail
