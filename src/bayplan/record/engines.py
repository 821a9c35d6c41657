"""Which engine runs a project: another one would make everything a second time, beside what is there.

Fault row 23: an engine that is switched under a stack is refused. Moving is two steps that a person takes: the project
is destroyed by the one (its volumes stay), and applied by the other.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from bayplan.errors import ConflictError
from bayplan.record.journal import Journal


def check(path: Path, project: str, engine: str) -> None:
    """Raise ConflictError naming both when the journal at ``path`` knows another engine. Reads only."""
    noted = engine_of(path, project)
    if noted:
        _refuse(project, noted, engine)


def engine_of(path: Path, project: str) -> str:
    """The engine that the journal at ``path`` knows for a project; empty when it knows none. Reads only."""
    try:
        if not project or not path.exists():
            return ""
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT engine FROM engines WHERE project = ?", (project,)).fetchone()
    except (sqlite3.DatabaseError, PermissionError):
        return ""  # an older journal, or one that only an apply can mend: that asks again
    return str(row[0]) if row else ""


def claim(journal: Journal, project: str, engine: str) -> None:
    """Note the engine before it makes anything. Raises ConflictError naming both when it is another's."""
    if project:
        with journal.written() as connection:
            connection.execute("INSERT OR IGNORE INTO engines VALUES (?, ?)", (project, engine))
            row = connection.execute("SELECT engine FROM engines WHERE project = ?", (project,)).fetchone()
            _refuse(project, str(row[0]), engine)


def release(journal: Journal, project: str) -> None:
    """Forget the engine of a project of which nothing is left."""
    with journal.written() as connection:
        connection.execute("DELETE FROM engines WHERE project = ?", (project,))


def _refuse(project: str, recorded: str, engine: str) -> None:
    if recorded != engine:
        raise ConflictError(
            f"project {project} is run by the engine {recorded}, and this is {engine}",
            hint=f"destroy it with {recorded} first (volumes stay there), or give the project another name",
        )
