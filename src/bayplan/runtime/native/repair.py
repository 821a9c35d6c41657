"""``repair`` of the native core: the record file made anew, of its copy, of cards, and of what runs.

The damaged file is set aside. Its copy (``Database.keep_copy``) has what was declared when the last change ended; the
cards (``state.cards``) have it too, one by one, so that a lost or damaged copy loses no more than the cards that are
lost with it. Which process is a container's first is asked of the monitor's pid file and of the cgroup: what runs goes
on, and nothing is started, stopped or removed here.
"""

from __future__ import annotations

import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from bayplan.errors import BayplanError, CorruptStateError, UnsupportedError
from bayplan.models import Settings
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.state import Database, cards
from bayplan.runtime.native.supervisor import client
from bayplan.runtime.repairs import Repair, set_aside
from bayplan.system import cgroups
from bayplan.system.files import locked
from bayplan.system.processes import Process, boot_id

_END_S = 5.0


def repair(settings: Settings) -> Repair:
    """Make the record file whole, and say what was found. Nothing is done where nothing is wrong."""
    path = settings.state_root / "state.db"
    if not settings.state_root.is_dir():
        return Repair(str(path))
    with locked(settings.lock_file, "repair"):
        fault = _fault(path)
        if not fault and not _strays(path):
            return Repair(str(path))
        aside = ""
        if fault:
            _end_supervisor(settings)
            aside = set_aside(path)
            _take_copy(path)
        database = Database(path, rebuilding=True)
        try:
            found = tuple(_rebuild(database, settings))
            missing = tuple(_unknown(database, settings.state_root))
            database.keep_copy("")
            database.keep_cards()
        finally:
            database.close()
    client.wake(settings)
    return Repair(str(path), fault or "things lie there that it does not name", aside, found, missing)


def _fault(path: Path) -> str:
    """What is wrong with the record file; empty when it is whole."""
    try:
        Database(path).close()
    except (CorruptStateError, UnsupportedError) as error:
        return error.what
    return ""


def _strays(path: Path) -> bool:
    """Whether a card is there of which the record knows nothing."""
    if not path.exists():
        return False
    database = Database(path)
    try:
        known = {
            (kind, row[0]) for kind, sql in _KNOWN.items() for row in database.query(sql)
        }  # read before the cards: a record is made before its card, and removed after it
        return any((kind, name) not in known for kind, name, _ in cards.read(path.parent))
    finally:
        database.close()


_KNOWN = {
    "container": "SELECT id FROM containers",
    "network": "SELECT name FROM networks",
    "volume": "SELECT name FROM volumes",
}


def _end_supervisor(settings: Settings) -> None:
    """It holds the damaged file; the next change starts it again."""
    there = client.holder(settings)
    if there:
        there[0].send(signal.SIGTERM)
        there[0].wait(_END_S)


def _take_copy(path: Path) -> None:
    """Begin with the copy of the last change, where that is whole and of a schema that is known."""
    copy = path.with_suffix(".copy")
    if not copy.exists():
        return
    try:
        with closing(sqlite3.connect(f"{copy.as_uri()}?mode=ro&immutable=1", uri=True)) as held:
            whole = held.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
        if whole:
            shutil.copyfile(copy, path)
            path.chmod(0o600)
            Database(path, rebuilding=True).close()
            return
    except (sqlite3.DatabaseError, BayplanError):
        pass
    set_aside(path)
    set_aside(copy)


def _rebuild(database: Database, settings: Settings) -> Iterator[str]:
    """Add what cards have and the record has not, then ask what runs; sentences on what is there."""
    with database.transaction() as tx:
        for kind, name, rows in cards.read(settings.state_root):
            with suppress(sqlite3.Error):
                cards.restore(tx, kind, name, rows)
    for kind, table in (("network", "networks"), ("volume", "volumes")):
        for row in database.query(f"SELECT name FROM {table} ORDER BY name"):  # noqa: S608 - our own names
            yield f"{kind} {row['name']}"
    for row in database.query("SELECT * FROM containers ORDER BY name"):
        process = _first_process(Paths.of(settings, row["id"]))
        if process is None:
            yield f"container {row['name']}: does not run"
            continue
        with database.transaction() as tx:
            tx.execute(
                "UPDATE containers SET pid = ?, pid_start = ?, boot_id = ?, wanted = 'running', exit_code = NULL,"
                " finished_at = NULL WHERE id = ?",
                (process.pid, process.start, boot_id(), row["id"]),
            )
        yield f"container {row['name']}: runs as process {process.pid}"


def _first_process(paths: Paths) -> Process | None:
    """The process that the monitor's pid file names, where it is in the container's cgroup: a pid may be reused."""
    try:
        process = Process.of(int(paths.pid_file.read_text()))
    except (OSError, ValueError):
        return None
    return process if process in cgroups.members(paths.cgroup) else None


def _unknown(database: Database, state_root: Path) -> Iterator[str]:
    """What lies there and has neither record nor card: only a person can say what it is of."""
    known = {str(row[0]) for row in database.query(_KNOWN["container"])}
    for place in sorted((state_root / "containers").glob("*")):
        if place.name not in known:
            yield f"directory {place}: what it is of cannot be told; it is left as it is"
    known = {str(row[0]) for row in database.query(_KNOWN["volume"])}
    for place in sorted((state_root / "volumes").glob("[!.]*")):
        if place.name not in known:
            yield f"directory {place}: a volume without a record; an apply that declares it takes it over with its data"
