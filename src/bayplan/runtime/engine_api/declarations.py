"""What was last applied to each resource of an engine.

A label of the resource holds it, so that any client finds it; but labels of what is there cannot be changed. What is
recorded later is in a small file of this client, by the engine's own ids, and is newer than the label.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from bayplan.errors import CorruptStateError, UnsupportedError
from bayplan.models import Container, Resource
from bayplan.system.files import private_directory

_SCHEMA = """
CREATE TABLE IF NOT EXISTS declarations (
    handle TEXT PRIMARY KEY, declared TEXT, project TEXT NOT NULL DEFAULT '',
    whole INTEGER NOT NULL DEFAULT 0, stopped_at TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID
"""
_BUSY_S = 10.0
_R = TypeVar("_R", bound=Resource)


@dataclass(frozen=True)
class Note:
    """What is recorded of one resource beside its labels."""

    declared: str | None
    project: str
    whole: bool
    """Whether everything that its create had to do was done."""
    stopped_at: str
    """When a change or a verb stopped it; empty for never."""


NO_NOTE = Note(None, "", whole=False, stopped_at="")


class Declarations:
    """The file, made when something is recorded. Safe to use from many threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def all(self) -> dict[str, Note]:
        """Every note, by the engine's id of what it is about."""
        with self._lock, self._understood():
            connection = self._opened(make=False)
            rows = connection.execute("SELECT * FROM declarations").fetchall() if connection else ()
        return {row[0]: Note(row[1], row[2], whole=bool(row[3]), stopped_at=row[4]) for row in rows}

    def record(self, handle: str, resource: Resource, project: str) -> None:
        """Note what was applied. Nothing of a secret's content is in it."""
        self._set(handle, declared=to_text(resource), project=project)

    def note_whole(self, handle: str) -> None:
        """Note that a create has done all of its work."""
        self._set(handle, whole=1)

    def note_stop(self, handle: str) -> None:
        """Note that it is stopped on request, before it is."""
        self._set(handle, stopped_at=datetime.now(UTC).isoformat())

    def forget(self, handle: str) -> None:
        """Remove the note of what is gone."""
        with self._lock, self._understood():
            connection = self._opened(make=False)
            if connection:
                connection.execute("DELETE FROM declarations WHERE handle = ?", (handle,))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection:
                self._connection.close()
            self._connection = None

    def _set(self, handle: str, **values: object) -> None:
        names = ", ".join(values)
        marks = ", ".join("?" for _ in values)
        changes = ", ".join(f"{name} = excluded.{name}" for name in values)
        sql = (
            f"INSERT INTO declarations (handle, {names}) VALUES (?, {marks})"  # noqa: S608 - our own names
            f" ON CONFLICT (handle) DO UPDATE SET {changes}"
        )
        with self._lock, self._understood():
            connection = self._opened(make=True)
            assert connection is not None
            connection.execute(sql, (handle, *values.values()))

    def _opened(self, *, make: bool) -> sqlite3.Connection | None:
        """Reading makes nothing: a plan works for a user who may not write there."""
        if self._connection is None:
            if not make and not self.path.exists():
                return None
            private_directory(self.path.parent, tighten=False)
            if not self.path.exists():
                self.path.touch(mode=0o600)
            self._connection = sqlite3.connect(
                self.path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(_SCHEMA)
        return self._connection

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise UnsupportedError(str(error), where=str(self.path), hint="see its permissions and space") from error
        except sqlite3.DatabaseError as error:
            hint = "`bayplan repair` sets it aside; labels of what is there say most of it"
            raise CorruptStateError(
                f"the record file cannot be read: {error}", where=str(self.path), hint=hint
            ) from error


def to_text(resource: Resource) -> str:
    """A declaration as it is kept: what is not a default, contents of secrets left out."""
    kept = resource.model_dump(mode="json", exclude_defaults=True)
    if isinstance(resource, Container) and resource.mounts:
        # Their types are defaults, by which they are told apart.
        kept["mounts"] = [mount.model_dump(mode="json") for mount in resource.mounts]
    return json.dumps(kept, separators=(",", ":"))


def from_text(model: type[_R], text: str | None) -> _R | None:
    """The declaration, None for none and for one that another version wrote and this one does not know."""
    if not text:
        return None
    try:
        return model.model_validate_json(text)
    except ValidationError:
        return None
