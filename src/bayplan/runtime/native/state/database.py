"""SQLite as the native core's record.

Write-ahead log with ``synchronous = NORMAL``: a power cut leaves the old or the new state, never a torn one
(sqlite.org/wal.html, "Performance Considerations"). Threads share one connection behind a lock; processes are kept
apart by SQLite's own locks.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from bayplan.errors import BayplanError, BusyError, CorruptStateError, RuntimeFailureError, UnsupportedError
from bayplan.runtime.native.state import cards
from bayplan.runtime.native.state.schema import MIGRATIONS
from bayplan.system.files import private_directory

_log = logging.getLogger(__name__)
_BUSY_MS = 10_000
REPAIR = "`bayplan repair` sets it aside and makes another of what runs and lies on disk"
_SHARED = "/dev/shm"  # noqa: S108 - a directory of our own in it
_SHARED_MEMORY_BYTES = 64 << 10


def explain(error: sqlite3.DatabaseError, path: Path) -> BayplanError:
    """What an error of SQLite means to a user (sqlite.org/rescode.html)."""
    text, where = str(error), str(path)
    if isinstance(error, sqlite3.OperationalError):
        if "locked" in text:
            return BusyError("the record file is held by another process", where=where, hint="try again")
        # The write-ahead log's shared memory cannot grow either, which SQLite calls an I/O error.
        room = os.statvfs(path.parent)
        if "full" in text or ("I/O" in text and room.f_bavail * room.f_frsize < _SHARED_MEMORY_BYTES):
            return RuntimeFailureError("no space is left for the record", where=where, hint="free some space")
        if "readonly" in text or "unable to open" in text:
            return UnsupportedError(f"the record file cannot be written: {text}", where=where, hint="run as root")
        if "I/O" in text:
            return RuntimeFailureError(f"the record cannot be stored: {text}", where=where, hint="look at the disk")
    return CorruptStateError(f"the record file cannot be read: {text}", where=where, hint=REPAIR)


def _opened(path: Path) -> sqlite3.Connection:
    """The file; on a file system that is read-only, what is in it and its write-ahead log, in memory.

    SQLite cannot read a file in WAL mode where it cannot write beside it. Nobody else can change it there either.
    """
    if not (path.exists() and os.statvfs(path.parent).f_flag & os.ST_RDONLY):
        return sqlite3.connect(path, timeout=_BUSY_MS / 1000, check_same_thread=False)
    memory = sqlite3.connect(":memory:", check_same_thread=False)
    with tempfile.TemporaryDirectory(dir=_SHARED if Path(_SHARED).is_dir() else None) as aside:
        for file in path.parent.glob(f"{path.name}*"):
            if file.name in (path.name, f"{path.name}-wal"):
                shutil.copyfile(file, Path(aside) / file.name)
        with closing(sqlite3.connect(Path(aside) / path.name)) as copy:
            copy.backup(memory)
    return memory


_OUTLINE = """
    SELECT group_concat(part) FROM (
        SELECT count(*) || '-' || ifnull(max(rowid), 0) || '-' || ifnull(sum(length(declared)), 0)
        || ifnull(group_concat(name), '') AS part FROM containers
        UNION ALL SELECT count(*) || '-' || ifnull(max(rowid), 0) || '-' || ifnull(sum(length(declared)), 0)
        || ifnull(group_concat(name), '') FROM networks
        UNION ALL SELECT count(*) || '-' || ifnull(max(rowid), 0) || '-' || ifnull(sum(length(declared)), 0)
        || ifnull(group_concat(name), '') FROM volumes)
"""


def _copy_of(path: Path) -> Path:
    return path.with_suffix(".copy")


def _restore(path: Path) -> None:
    """Bring a record file that is gone back from its copy, where there is still something that it names."""
    copy, root = _copy_of(path), path.parent
    if path.exists() or not copy.exists() or not (any(root.glob("containers/*")) or any(root.glob("volumes/*"))):
        return
    # A log that is left belongs to the file that is gone.
    for name in (f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        shutil.copyfile(copy, temporary)
        temporary.chmod(0o600)
        with suppress(FileExistsError):  # another process was faster
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _log.warning("the record file %s was gone; it was brought back from its copy", path)


class Database:
    """The record file, opened and brought to the current schema. Safe to use from many threads."""

    def __init__(self, path: Path, *, rebuilding: bool = False) -> None:
        """Open ``path``. Raises CorruptStateError, or UnsupportedError for a newer schema.

        A file that is not there is made (mode 0600) by the first change: who only reads leaves nothing behind.
        ``rebuilding``: an empty one beside containers is no fault.
        """
        self.path, self._rebuilding = path, rebuilding
        self._lock = threading.RLock()
        self._watching = False
        try:
            if not rebuilding:
                _restore(path)
        except PermissionError as error:
            raise UnsupportedError(f"no permission: {error.strerror}", where=str(path), hint="run as root") from error
        self._vacant = not path.exists()
        with self._understood():
            self._connection = self._vacancy() if self._vacant else self._open()

    def _vacancy(self) -> sqlite3.Connection:
        """What is read where there is no file: an empty record."""
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        self._prepare()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        try:
            private_directory(self.path.parent, tighten=False)
            if not self.path.exists() and os.access(self.path.parent, os.W_OK):
                # SQLite would make it by the umask, and its other files like it.
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except PermissionError as error:
            what = f"no permission: {error.strerror}"
            raise UnsupportedError(what, where=str(self.path), hint="run as root") from error
        self._connection = _opened(self.path)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise
        return self._connection

    def _held(self, *, to_write: bool = False) -> sqlite3.Connection:
        """The connection; that to the file as soon as there is one, or is to be."""
        if self._vacant and (to_write or self.path.exists()):
            self._connection.close()
            self._open()
            self._vacant = False
        if to_write and not self._watching:
            cards.watch(self._connection)
            self._watching = True
        return self._connection

    def _prepare(self) -> None:
        self._connection.isolation_level = None
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        # Torn pages are found here: read later, they would look like records that are not there.
        found = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        self._migrate()

    def _migrate(self) -> None:
        version = self._version()
        if version > len(MIGRATIONS):
            raise UnsupportedError(
                f"the record file has schema {version}, this version knows {len(MIGRATIONS)}",
                where=str(self.path),
                hint="use a newer bayplan; `bayplan repair` sets the file aside and makes another of what is here",
            )
        if version == len(MIGRATIONS):
            return
        if version:
            self._back_up(self.path.with_suffix(f".schema-{version}.backup"))
        elif cards.left(self.path.parent) and not self._rebuilding:
            # Records come before what they name: an empty file, or none, beside containers has lost them.
            raise sqlite3.DatabaseError("it is empty, and yet there are containers, networks or volumes")
        with self._transaction(self._connection) as tx:
            # Another process may have migrated while this one waited for the write lock.
            for number, script in enumerate(MIGRATIONS[self._version() :], start=self._version() + 1):
                for statement in filter(str.strip, script.split(";")):
                    tx.execute(statement)
                tx.execute(f"PRAGMA user_version = {number}")

    def outline(self) -> str:
        """What resources there are, in short: it differs when one came, went or was declared anew."""
        return str(self.query(_OUTLINE)[0][0])

    def keep_copy(self, outline: str) -> None:
        """Keep a copy beside it, from which a record file that somebody deletes comes back; at the end of a change.

        Not when the ``outline`` is that from before the change: starts and ends alone are seen again on the host. No
        part of the change: what cannot be written now is written after the next one.
        """
        with self._lock, suppress(sqlite3.Error, OSError, BayplanError):
            if self._vacant:
                return
            if self.outline() != outline or not _copy_of(self.path).exists():
                self._back_up(_copy_of(self.path), durable=False)

    def keep_cards(self) -> None:
        """Bring the cards of what this process has changed up to date; what cannot be written now is left out."""
        with self._lock, suppress(sqlite3.Error, OSError):
            if self._watching:
                cards.write(self._connection, self.path.parent)

    def _back_up(self, path: Path, *, durable: bool = True) -> None:
        """A whole copy under its name, or none: what is still in the write-ahead log is in it too.

        ``durable`` waits for the disk.
        """
        temporary = path.with_suffix(".part")
        temporary.unlink(missing_ok=True)
        try:
            with closing(sqlite3.connect(temporary)) as copy:
                if not durable:
                    copy.execute("PRAGMA synchronous = OFF")
                    copy.execute("PRAGMA journal_mode = OFF")
                self._connection.backup(copy)
            temporary.chmod(0o600)
            temporary.rename(path)
        except BaseException:  # a part of a copy takes room from the record itself
            temporary.unlink(missing_ok=True)
            raise

    def _version(self) -> int:
        row = self._connection.execute("PRAGMA user_version").fetchone()
        return int(row[0])

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside is stored whole or not at all. Not nested."""
        with self._lock, self._understood(), self._transaction(self._held(to_write=True)) as tx:
            yield tx

    @contextmanager
    def _transaction(self, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            if connection.in_transaction:  # SQLite itself rolls back when the disk is full
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Rows of a SELECT."""
        with self._lock:
            try:
                return self._held().execute(sql, parameters).fetchall()
            except sqlite3.DatabaseError as error:
                raise explain(error, self.path) from error

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Errors of SQLite as ours. An integrity error is the caller's to explain."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise explain(error, self.path) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
