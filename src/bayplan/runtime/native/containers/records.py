"""The containers table: what is ours, and what it was last seen doing."""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from bayplan.errors import ConflictError, NotFoundError
from bayplan.models import Container, Endpoint, ImageMount
from bayplan.runtime.native.state.database import Database
from bayplan.runtime.native.supervisor.records import begin_health
from bayplan.runtime.spare import is_spare_of


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat()


@functools.lru_cache(maxsize=1024)
def declaration(text: str) -> Container:
    """A recorded declaration as a model; models are frozen, so that many may share one."""
    return Container.model_validate_json(text)


_ENDPOINTS = TypeAdapter(tuple[Endpoint, ...])


def placed(row: sqlite3.Row) -> Container:
    """The declaration, on the networks that a verb has put the container on since, if one has."""
    declared = declaration(row["declared"])
    if not row["joined"]:
        return declared
    return declared.model_copy(update={"networks": _ENDPOINTS.validate_json(row["joined"])})


class Records:
    """Rows of containers by id. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(self, container_id: str, container: Container, project: str, digest: str, *, spare: bool = False) -> None:
        """Note the intent to make a container. Raises ConflictError when the name is taken.

        ``spare``: it is beside another, whose place it will take.
        """
        try:
            with self.database.transaction() as tx:
                tx.execute(
                    "INSERT INTO containers (id, name, project, service, declared, image_digest, phase, created_at,"
                    " superseded_by) VALUES (?, ?, ?, ?, ?, ?, 'creating', ?, ?)",
                    (
                        container_id,
                        container.name,
                        project,
                        container.service,
                        container.model_dump_json(),
                        digest,
                        now(),
                        "predecessor" if spare else None,
                    ),
                )
        except sqlite3.IntegrityError as error:
            raise ConflictError(
                f"a container named {container.name} exists", hint="remove or rename it first"
            ) from error

    def held(self, container_id: str) -> sqlite3.Row | None:
        """The row, if there is one."""
        rows = self.database.query("SELECT * FROM containers WHERE id = ?", (container_id,))
        return rows[0] if rows else None

    def get(self, container_id: str) -> sqlite3.Row:
        """The row. Raises NotFoundError."""
        row = self.held(container_id)
        if row is None:
            raise NotFoundError(f"container {container_id[:12]} does not exist")
        return row

    def find(self, name: str) -> sqlite3.Row | None:
        """The row of that name."""
        rows = self.database.query("SELECT * FROM containers WHERE name = ?", (name,))
        return rows[0] if rows else None

    def select(self, project: str | None, names: Collection[str]) -> list[sqlite3.Row]:
        """A project's rows and those that are named, with what a replacement that was cut has left of these."""
        rows, asked = self.database.query("SELECT * FROM containers ORDER BY name"), frozenset(names)
        return [
            row
            for row in rows
            if (project is not None and row["project"] == project)
            or row["name"] in asked
            or (row["superseded_by"] is not None and is_spare_of(row["name"], names))
        ]

    def set(self, container_id: str, **values: object) -> sqlite3.Row | None:
        """Change columns (their names are the code's own, never a user's). Gives the new row, if there is one."""
        columns = ", ".join(f"{name} = ?" for name in values)
        sql = f"UPDATE containers SET {columns} WHERE id = ? RETURNING *"  # noqa: S608 - our own names
        with self.database.transaction() as tx:
            rows: list[sqlite3.Row] = tx.execute(sql, (*values.values(), container_id)).fetchall()
        return rows[0] if rows else None

    def swap(self, tx: sqlite3.Connection, successor: str, name: str, predecessor: str, aside: str) -> None:
        """Give ``successor`` the name, and its predecessor, if there is one, another, inside a transaction."""
        for container_id, called, spare in ((predecessor, aside, "successor"), (successor, name, None)):
            for row in tx.execute("SELECT declared FROM containers WHERE id = ?", (container_id,)).fetchall():
                declared = declaration(row["declared"]).model_copy(update={"name": called}).model_dump_json()
                tx.execute(
                    "UPDATE containers SET name = ?, declared = ?, superseded_by = ? WHERE id = ?",
                    (called, declared, spare, container_id),
                )

    def join(self, container_id: str, networks: Sequence[Endpoint]) -> None:
        """Note on which networks a verb puts it; an apply that changes its networks forgets that."""
        self.set(container_id, joined=_ENDPOINTS.dump_json(tuple(networks)).decode())

    def bundle(self, container_id: str) -> sqlite3.Row:
        """``config`` (config.json, network namespace left out) and ``facts`` of a created one. Raises NotFoundError."""
        rows = self.database.query("SELECT facts, config FROM bundles WHERE container_id = ?", (container_id,))
        if not rows:
            raise NotFoundError(f"container {container_id[:12]} is half made", hint="apply again: it is made anew")
        return rows[0]

    def created(self, container_id: str, facts: Mapping[str, Any], config: Mapping[str, Any]) -> sqlite3.Row:
        """Keep the bundle; the container is whole from here on. Gives its name and project."""
        sql = "UPDATE containers SET phase = 'created' WHERE id = ? RETURNING name, project"
        with self.database.transaction() as tx:
            row = (container_id, json.dumps(facts), json.dumps(config))
            tx.execute("INSERT OR REPLACE INTO bundles VALUES (?, ?, ?)", row)
            made: sqlite3.Row = tx.execute(sql, (container_id,)).fetchone()
        return made

    def begin_run(self, container_id: str, *, checked: bool) -> None:
        """Note that it is to run, and forget its last run; ``checked``: see ``begin_health``."""
        sql = "UPDATE containers SET wanted = 'running', exit_code = NULL, finished_at = NULL, pid = NULL WHERE id = ?"
        with self.database.transaction() as tx:
            tx.execute(sql, (container_id,))
            begin_health(tx, container_id, checked=checked)

    def reconfigure(self, container_id: str, config: Mapping[str, Any]) -> None:
        """Keep another configuration, for the next start."""
        with self.database.transaction() as tx:
            tx.execute("UPDATE bundles SET config = ? WHERE container_id = ?", (json.dumps(config), container_id))

    def images(self) -> dict[str, list[str]]:
        """Manifests that containers run from or have mounted, each with their names in order."""
        found: dict[str, list[str]] = {}
        for row in self.database.query("SELECT image_digest, name, declared FROM containers ORDER BY name"):
            mounted = (item.digest for item in declaration(row["declared"]).mounts if isinstance(item, ImageMount))
            for digest in dict.fromkeys((str(row["image_digest"]), *mounted)):
                found.setdefault(digest, []).append(str(row["name"]))
        return found

    def remove(self, container_id: str, after_last: Callable[[], None] = lambda: None) -> None:
        """Forget the container, its bundle and its health.

        ``after_last`` is called when no other is left, and before that is stored: nobody can record one meanwhile.
        """
        with self.database.transaction() as tx:
            tx.execute("DELETE FROM health WHERE container_id = ?", (container_id,))
            tx.execute("DELETE FROM bundles WHERE container_id = ?", (container_id,))
            tx.execute("DELETE FROM containers WHERE id = ?", (container_id,))
            if tx.execute("SELECT 1 FROM containers LIMIT 1").fetchone() is None:
                after_last()
