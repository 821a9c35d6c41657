"""``repair`` of the journal and the generations: the damaged file set aside, and what of it can be read kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from bayplan.errors import BayplanError, CorruptStateError, UnsupportedError
from bayplan.record import engines
from bayplan.record.generations import Generation, Generations
from bayplan.record.journal import REPAIRED, Journal
from bayplan.runtime.repairs import Repair, set_aside

_TABLES = ("runs", "steps", "engines", "generations")
_LOST_IN_A_ROW = 100
"""Rows that cannot be read one after the other, after which the rest of a table is given up."""


def repair(path: Path, projects: Sequence[str], engine: str) -> Repair:
    """Make the journal whole; ``projects`` are those that ``engine`` runs here. Nothing is done where it is whole."""
    fault = _fault(path) if path.exists() else "it is gone" * bool(projects)
    if not fault:
        return Repair(str(path))
    aside = set_aside(path)
    journal = Journal(path)
    try:
        counts = _salvaged(Path(aside), journal) if aside else {}
        for project in projects:
            with suppress(BayplanError):  # what could be read says another engine
                engines.claim(journal, project, engine)
            # The last generation may be among what is lost: the next apply looks, even where it has nothing to do.
            with journal.run(project, ()) as number:
                journal.came_to(number, REPAIRED)
        kept, lost = _sound(journal)
    finally:
        journal.close()
    found = [f"{count} rows of {table}" for table, count in counts.items() if count]
    return Repair(str(path), fault, aside, (*found, *kept), lost)


def _fault(path: Path) -> str:
    try:
        Journal(path, to_read=True).close()
    except (CorruptStateError, UnsupportedError) as error:
        return error.what
    return ""


def _salvaged(path: Path, journal: Journal) -> dict[str, int]:
    """Copy each row that can be read, of columns that are known; how many of each table."""
    counts = dict.fromkeys(_TABLES, 0)
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as held:
        for table in _TABLES:
            known = [str(row[1]) for row in journal.rows(f"PRAGMA table_info({table})")]
            for row in _rows(held, table, known):
                marks = ", ".join("?" for _ in known)
                with suppress(sqlite3.Error, BayplanError), journal.written() as connection:
                    connection.execute(f"INSERT INTO {table} VALUES ({marks})", row)  # noqa: S608 - our own names
                    counts[table] += 1
    return counts


def _rows(held: sqlite3.Connection, table: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """One by one: what is behind a torn page is still there."""
    names = ", ".join(columns)
    with suppress(sqlite3.DatabaseError):
        last = int(held.execute(f"SELECT ifnull(max(rowid), 0) FROM {table}").fetchone()[0])  # noqa: S608 - our own
        lost = 0
        for number in range(1, last + 1):
            try:
                query = f"SELECT {names} FROM {table} WHERE rowid = ?"  # noqa: S608 - our own names
                row = held.execute(query, (number,)).fetchone()
            except sqlite3.DatabaseError:
                lost += 1
                if lost > _LOST_IN_A_ROW:
                    return
                continue
            lost = 0
            if row is not None:
                yield tuple(row)


def _sound(journal: Journal) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The generations that are whole, and those that are not."""
    kept, lost = [], []
    generations = Generations(journal)
    for project in generations.projects():
        for number in generations.numbers(project):
            try:
                made: Generation = generations.get(project, number)
            except BayplanError as error:
                lost.append(error.what)
            else:
                kept.append(f"generation {number} of {made.project}")
    return tuple(kept), tuple(lost)
