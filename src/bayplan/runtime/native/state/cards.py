"""Cards: beside each container, network and volume, what the record file has of it, for a day when that file is lost.

One small JSON file each, written at the end of a change for what the change has touched, and gone with what it is of.
Nothing is decided by a card while there is a record; ``bayplan repair`` reads them (``runtime.native.repair``).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bayplan.system.files import atomic_write, private_directory

FORMAT = 1
_NAME = "card.json"
Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""Table to rows, by column."""
_TABLES: Mapping[str, Mapping[str, str]] = {
    "container": {
        "containers": "id",
        "bundles": "container_id",
        "endpoints": "container_id",
        "leases": "owner",
        "ports": "container_id",
    },
    "network": {"networks": "name", "leases": "network", "last_addresses": "network"},
    "volume": {"volumes": "name"},
}
"""Kind to the tables that know of it, and by which column."""


def watch(connection: sqlite3.Connection) -> None:
    """Note from now on what this connection changes; in memory, and only for it."""
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("CREATE TEMP TABLE touched (kind TEXT, name TEXT)")
    connection.execute("CREATE INDEX temp.touched_names ON touched (kind, name)")
    for kind, tables in _TABLES.items():
        for table, column in tables.items():
            for change, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
                # Not OR IGNORE: within an upsert the policy is that of the upsert (SQLite, CREATE TRIGGER).
                known = f"SELECT 1 FROM touched WHERE kind = '{kind}' AND name = {row}.{column}"  # noqa: S608 - our names
                lacking = f"{row}.{column} IS NOT NULL AND NOT EXISTS ({known})"
                note = f"INSERT INTO touched SELECT '{kind}', {row}.{column} WHERE {lacking}"
                name = f"touch_{kind}_{table}_{change}"
                connection.execute(f"CREATE TEMP TRIGGER {name} AFTER {change} ON main.{table} BEGIN {note}; END")


def write(connection: sqlite3.Connection, state_root: Path) -> None:
    """Bring the cards of what was touched up to date. Raises OSError, sqlite3.Error."""
    for kind in _TABLES:
        for name, rows in _touched(connection, kind).items():
            path = _path(state_root, kind, name)
            if not rows[_own(kind)]:
                path.unlink(missing_ok=True)
            elif kind == "network" or path.parent.is_dir():
                private_directory(path.parent, tighten=False)
                card = {"format": FORMAT, "kind": kind, "name": name, "rows": rows}
                atomic_write(path, json.dumps(card, separators=(",", ":")).encode(), mode=0o600, durable=False)
    connection.execute("DELETE FROM temp.touched")
    with suppress(OSError):
        (state_root / "networks").rmdir()  # the last has gone


def read(state_root: Path) -> Iterator[tuple[str, str, Rows]]:
    """Kind, name and rows of each whole card; one that is torn or of another format is left out."""
    for kind, pattern in _PATTERNS.items():
        for path in sorted(state_root.glob(pattern)):
            with suppress(OSError, ValueError, KeyError, TypeError):
                card = json.loads(path.read_bytes())
                if card["format"] == FORMAT and card["kind"] == kind and card["rows"][_own(kind)]:
                    yield kind, str(card["name"]), card["rows"]


def left(state_root: Path) -> bool:
    """Whether anything is there that a record would name."""
    return any(any(state_root.glob(pattern)) for pattern in ("containers/*", *_PATTERNS.values()))


def restore(connection: sqlite3.Connection, kind: str, name: str, rows: Rows) -> None:
    """Put the rows of a card in the place of what is recorded of it, in a transaction of the caller."""
    for table, column in _TABLES[kind].items():
        connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (name,))  # noqa: S608 - our own names
        known = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        for item in rows.get(table, ()):
            kept = {key: value for key, value in item.items() if key in known}
            names, marks = ", ".join(kept), ", ".join("?" for _ in kept)
            sql = f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - columns of the schema
            connection.execute(sql, tuple(kept.values()))


_PATTERNS = {
    "network": "networks/*.json",
    "volume": f"volumes/*/{_NAME}",
    "container": f"containers/*/{_NAME}",
}


def _path(state_root: Path, kind: str, name: str) -> Path:
    return state_root / "networks" / f"{name}.json" if kind == "network" else state_root / f"{kind}s" / name / _NAME


def _own(kind: str) -> str:
    return f"{kind}s"


def _touched(connection: sqlite3.Connection, kind: str) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Name to what each table has of it now; one query a table, however many there are."""
    names = "SELECT name FROM temp.touched WHERE kind = ?"
    tables = _TABLES[kind]
    found: dict[str, dict[str, list[dict[str, Any]]]] = {
        str(row[0]): {table: [] for table in tables} for row in connection.execute(names, (kind,))
    }
    for table, column in tables.items() if found else ():
        rows = connection.execute(f"SELECT * FROM {table} WHERE {column} IN ({names})", (kind,))  # noqa: S608 - our names
        for row in rows:
            found[str(row[column])][table].append(dict(row))
    return found
