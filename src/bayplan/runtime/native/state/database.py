"""SQLite as the native core's record.

Write-ahead log with ``synchronous = NORMAL``: a power cut leaves the old or the new state, never a torn one
(sqlite.org/wal.html, "Performance Considerations"). Threads share one connection behind a lock; processes are kept
apart by SQLite's own locks.
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bayplan.errors import CorruptStateError, UnsupportedError
from bayplan.runtime.native.state.schema import MIGRATIONS

_BUSY_MS = 10_000


class Database:
    """The record file, opened and brought to the current schema. Safe to use from many threads."""

    def __init__(self, path: Path) -> None:
        """Open or create ``path`` (mode 0600). Raises CorruptStateError, or UnsupportedError for a newer schema."""
        self.path = path
        self._lock = threading.RLock()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = not path.exists()
        try:
            self._connection = sqlite3.connect(path, timeout=_BUSY_MS / 1000, check_same_thread=False)
            self._connection.isolation_level = None
            self._connection.row_factory = sqlite3.Row
            if fresh:
                path.chmod(0o600)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._migrate()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                raise
            raise CorruptStateError(
                f"the record file cannot be read: {error}", where=str(path), hint="restore a backup of it"
            ) from error

    def _migrate(self) -> None:
        version = self._version()
        if version > len(MIGRATIONS):
            raise UnsupportedError(
                f"the record file has schema {version}, this version knows {len(MIGRATIONS)}",
                where=str(self.path),
                hint="use a newer bayplan",
            )
        if version == len(MIGRATIONS):
            return
        if version:
            shutil.copy2(self.path, self.path.with_suffix(f".schema-{version}.backup"))
        with self.transaction() as tx:
            # Another process may have migrated while this one waited for the write lock.
            for number, script in enumerate(MIGRATIONS[self._version() :], start=self._version() + 1):
                for statement in filter(str.strip, script.split(";")):
                    tx.execute(statement)
                tx.execute(f"PRAGMA user_version = {number}")

    def _version(self) -> int:
        row = self._connection.execute("PRAGMA user_version").fetchone()
        return int(row[0])

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside is stored whole or not at all. Not nested."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Rows of a SELECT."""
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
