"""The journal: each apply and each of its steps, written as they happen.

Recovery does not read it: every run observes the host itself and finishes or undoes what was cut. The journal tells
people what happened, and which run was interrupted (a run without an end).
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bayplan.errors import BayplanError, CorruptStateError, RuntimeFailureError, UnsupportedError

RECORDED, FAILED, REPAIRED, ENDED = "recorded", "failed", "repaired", "ended"
"""Outcomes of a run: what it left is the last generation; it did not come to that; that may be lost; all others."""
VERSION = 1
"""Of the schema below; an older file has none, and is the same."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, project TEXT NOT NULL, pid INTEGER NOT NULL, began TEXT NOT NULL, ended TEXT,
    outcome TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS steps (
    run INTEGER NOT NULL REFERENCES runs (id), resource TEXT NOT NULL, action TEXT NOT NULL, phase TEXT NOT NULL,
    error TEXT NOT NULL DEFAULT '', at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS engines (project TEXT PRIMARY KEY, engine TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS generations (
    project TEXT NOT NULL, number INTEGER NOT NULL, version INTEGER NOT NULL, made_at TEXT NOT NULL,
    digests TEXT NOT NULL, content TEXT NOT NULL, checksum TEXT NOT NULL, PRIMARY KEY (project, number)
) STRICT;
"""
_UNSETTLED = """
SELECT 1 FROM runs WHERE project = ? AND ifnull(outcome, '') != ?
AND id > (SELECT ifnull(max(id), 0) FROM runs WHERE project = ? AND outcome = ?) LIMIT 1
"""
_TABLES = frozenset({"runs", "steps", "engines", "generations"})


class Journal:
    """An append-only record in SQLite. Safe to use from many threads."""

    def __init__(self, path: Path, *, to_read: bool = False) -> None:
        """Open or create it. Raises RuntimeFailureError, or CorruptStateError for what is no journal.

        ``to_read``: nothing is made or changed by that; where there is none, it is an empty one.
        """
        self.path = path
        self._lock = threading.Lock()
        with self._understood():
            if not to_read:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._connection = _to_read(path) if to_read else _opened(str(path))
            try:
                if not to_read:
                    path.chmod(0o600)
                    self._connection.execute("PRAGMA journal_mode = WAL")
                    self._connection.execute("PRAGMA synchronous = NORMAL")
                version = self._check()
                self._connection.executescript(_SCHEMA)
                if not to_read and version != VERSION:
                    self._connection.execute(f"PRAGMA user_version = {VERSION}")
            except BaseException:
                self._connection.close()
                raise

    def _check(self) -> int:
        """The version of its schema; raises for one that is newer or damaged."""
        version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if version > VERSION:
            raise UnsupportedError(
                f"the journal has schema {version}, this version knows {VERSION}",
                where=str(self.path),
                hint="use a newer bayplan; `bayplan repair` sets the file aside and makes another of what is here",
            )
        # Torn pages are found here: read later, they would look like rows that are not there.
        found = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        return version

    @contextmanager
    def run(self, project: str, resources: Sequence[str]) -> Iterator[int]:
        """One apply, from the intent (each resource ``planned``) to its outcome. Gives the run's number.

        Its outcome is ``ENDED`` unless ``came_to`` says another.
        """
        with self.written() as connection:
            cursor = connection.execute(
                "INSERT INTO runs (project, pid, began) VALUES (?, ?, ?)", (project, os.getpid(), _now())
            )
            number = int(cursor.lastrowid or 0)
            connection.executemany(
                "INSERT INTO steps (run, resource, action, phase, at) VALUES (?, ?, '', 'planned', ?)",
                [(number, resource, _now()) for resource in resources],
            )
        try:
            yield number
        except BaseException as error:
            self._end(number, f"stopped: {type(error).__name__}")
            raise
        self._end(number, ENDED)

    def came_to(self, run: int, outcome: str) -> None:
        """What a run came to, before its end."""
        with self._lock, self._understood():
            self._connection.execute("UPDATE runs SET outcome = ? WHERE id = ?", (outcome, run))

    def steps_reached(self, run: int, steps: Sequence[tuple[str, str, str, str]]) -> None:
        """Steps reached a phase: resource, action, phase, error (empty when there is none). All are kept, or none."""
        if not steps:
            return
        with self.written() as connection:
            connection.executemany(
                "INSERT INTO steps (run, resource, action, phase, error, at) VALUES (?, ?, ?, ?, ?, ?)",
                [(run, *step, _now()) for step in steps],
            )

    def interrupted(self) -> list[tuple[int, str, str]]:
        """Runs that never ended: number, project, time of their begin."""
        with self._lock, self._understood():
            rows = self._connection.execute("SELECT id, project, began FROM runs WHERE ended IS NULL").fetchall()
        return [(int(row[0]), str(row[1]), str(row[2])) for row in rows]

    def steps(self) -> list[tuple[str, str, str, str, str, str]]:
        """Every step that came to an end: time, project, resource, action, phase, error; oldest first."""
        with self._lock, self._understood():
            rows = self._connection.execute(
                "SELECT s.at, r.project, s.resource, s.action, s.phase, s.error"
                " FROM steps s JOIN runs r ON r.id = s.run"
                " WHERE s.phase IN ('done', 'failed') ORDER BY s.at"
            ).fetchall()
        return [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in rows]

    def verbs(self, project: str, since: datetime) -> list[tuple[datetime, str, str, bool]]:
        """What people did to resources by verbs of their own, no apply among it, oldest first.

        Time, resource, verb, and whether it failed: what it had done by then stays.
        """
        rows = self.rows(
            "SELECT s.at, s.resource, s.action, s.phase FROM steps s JOIN runs r ON r.id = s.run"
            " WHERE r.project = ? AND s.phase IN ('done', 'failed') AND r.began >= ?"
            " AND NOT EXISTS (SELECT 1 FROM steps p WHERE p.run = r.id AND p.phase = 'planned') ORDER BY s.at",
            (project, since.isoformat()),
        )
        return [(datetime.fromisoformat(row[0]), str(row[1]), str(row[2]), row[3] == "failed") for row in rows]

    def rows(self, query: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """What a query gives. Raises as ``__init__``."""
        with self._lock, self._understood():
            return self._connection.execute(query, values).fetchall()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def written(self) -> Iterator[sqlite3.Connection]:
        """One change of the file, whole or not at all."""
        with self._lock, self._understood():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself rolls back when the disk is full
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            what = "the file system is read-only: nothing can be changed"
            raise UnsupportedError(what, where=str(self.path), hint="look at the kernel's log") from error
        except sqlite3.OperationalError as error:
            if "readonly" in str(error) or "unable to open" in str(error):
                what = "the journal cannot be written: is the file system read-only?"
                raise UnsupportedError(what, where=str(self.path), hint="look at the kernel's log") from error
            hint = "free some space" if "full" in str(error) else "look at the disk"
            raise RuntimeFailureError(
                f"the journal cannot be written: {error}", where=str(self.path), hint=hint
            ) from error
        except sqlite3.DatabaseError as error:
            hint = "`bayplan repair` sets it aside and keeps what of it can be read"
            raise CorruptStateError(f"the journal cannot be read: {error}", where=str(self.path), hint=hint) from error

    def _end(self, run: int, outcome: str) -> None:
        with self._lock, self._understood():
            query = "UPDATE runs SET ended = ?, outcome = ifnull(outcome, ?) WHERE id = ?"
            self._connection.execute(query, (_now(), outcome, run))


def unsettled(path: Path, project: str) -> bool:
    """Whether a run of a project was cut, or failed, and none since has recorded what there is. Reads only.

    True for a journal that cannot be read: who writes to it then tells why.
    """
    try:
        journal = Journal(path, to_read=True)
        try:
            return bool(journal.rows(_UNSETTLED, (project, ENDED, project, RECORDED)))
        finally:
            journal.close()
    except BayplanError:
        return True


def _opened(name: str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(name, timeout=10, check_same_thread=False, isolation_level=None, uri=uri)


def _to_read(path: Path) -> sqlite3.Connection:
    """The file as it is; in memory where there is none, or an older one that lacks a table."""
    if not path.exists():
        return _opened(":memory:")
    held = _opened(f"{path.absolute().as_uri()}?mode=rw", uri=True)
    try:
        found = {row[0] for row in held.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if found >= _TABLES:
            return held
        copy = _opened(":memory:")
        held.backup(copy)
    except BaseException:
        held.close()
        raise
    held.close()
    return copy


def _now() -> str:
    return datetime.now(UTC).isoformat()
