"""Generations: what each successful apply of a project left declared, so that it can be compared and gone back to.

A generation has no secrets: what secrets and configs hold is not in it, nor are values of the environment and arguments
of builds whose names say that they may be secret (``withheld`` names those of the environment).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import Field, SerializeAsAny, ValidationError, ValidationInfo, field_validator

from bayplan.errors import CorruptStateError, NotFoundError, UnsupportedError
from bayplan.models import Image, Model, Resource, Stack
from bayplan.models.secret import may_be_secret
from bayplan.record.journal import Journal

VERSION = 1


class Generation(Model):
    """One of them. ``digests``: manifest of each image by its declared name, as it ran."""

    project: str
    number: int = 0
    made_at: datetime
    by: str
    host: str
    engine: str
    summary: str
    note: str = ""
    stack: SerializeAsAny[Stack]
    digests: dict[str, str]
    contents: dict[str, str] = Field(default_factory=dict)
    """Digests of what configs held, by container and config."""
    withheld: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Container (service of a swarm) to the variables of its environment whose values were left out."""
    stopped: tuple[str, ...] = ()
    """Containers that were to be there and not to run."""

    @field_validator("stack", mode="before")
    @classmethod
    def _of_its_kind(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, dict) and info.data.get("engine") == "swarm":
            from bayplan.models.swarm import SwarmStack

            return SwarmStack.model_validate(value)
        return value


class Generations:
    """Those of every project, in the journal's file."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def add(self, made: Generation) -> int:
        """Keep one under the next number of its project, which it returns."""
        with self._journal.written() as connection:
            query = "SELECT ifnull(max(number), 0) + 1 FROM generations WHERE project = ?"
            number = int(connection.execute(query, (made.project,)).fetchone()[0])
            content = made.model_copy(update={"number": number}).model_dump_json(exclude_none=True)
            digests = json.dumps(sorted(set(made.digests.values())))
            values = (made.project, number, VERSION, made.made_at.isoformat(), digests, content, _checksum(content))
            connection.execute("INSERT INTO generations VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        return number

    def numbers(self, project: str) -> list[int]:
        """Those that are kept, oldest first."""
        rows = self._journal.rows("SELECT number FROM generations WHERE project = ? ORDER BY number", (project,))
        return [int(row[0]) for row in rows]

    def projects(self) -> list[str]:
        """Those that have any."""
        return [str(row[0]) for row in self._journal.rows("SELECT DISTINCT project FROM generations ORDER BY project")]

    def get(self, project: str, number: int) -> Generation:
        """One of them.

        Raises NotFoundError naming those that are kept, CorruptStateError for a damaged one, UnsupportedError for one
        that a newer version wrote.
        """
        query = "SELECT version, content, checksum FROM generations WHERE project = ? AND number = ?"
        rows = self._journal.rows(query, (project, number))
        where = f"generation {number} of {project}"
        if not rows:
            kept = ", ".join(map(str, self.numbers(project))) or "none"
            raise NotFoundError(f"{where} is not kept", hint=f"there are: {kept}")
        version, content, checksum = rows[0]
        if version > VERSION:
            raise UnsupportedError(f"{where} was written by a newer version of bayplan", hint="upgrade this one")
        if checksum != _checksum(content):
            raise CorruptStateError(f"{where} is damaged: its checksum does not match", hint="use another one")
        try:
            return Generation.model_validate_json(content)
        except ValidationError as error:
            raise CorruptStateError(f"{where} is damaged: it does not fit its model", hint="use another one") from error

    def last(self, project: str) -> Generation:
        """The newest. Raises as ``get``."""
        numbers = self.numbers(project)
        if not numbers:
            hint = "apply it first; where records were lost, `bayplan repair` makes one of what runs"
            raise NotFoundError(f"project {project} has no generation on this host", hint=hint)
        return self.get(project, numbers[-1])

    def digests(self, project: str) -> frozenset[str]:
        """Images of those that are kept."""
        rows = self._journal.rows("SELECT digests FROM generations WHERE project = ?", (project,))
        return frozenset(digest for row in rows for digest in json.loads(row[0]))

    def drop(self, project: str, numbers: Sequence[int]) -> None:
        """Drop just those."""
        with self._journal.written() as connection:
            values = [(project, number) for number in numbers]
            connection.executemany("DELETE FROM generations WHERE project = ? AND number = ?", values)

    def forget(self, project: str, *, keep: int) -> None:
        """Drop all but the newest ``keep``."""
        with self._journal.written() as connection:
            connection.execute(
                "DELETE FROM generations WHERE project = ? AND number NOT IN"
                " (SELECT number FROM generations WHERE project = ? ORDER BY number DESC LIMIT ?)",
                (project, project, keep),
            )


def without_secrets(stack: Stack) -> tuple[Stack, dict[str, tuple[str, ...]]]:
    """A stack as it may be recorded, and the variables that were left out, by container."""
    withheld: dict[str, tuple[str, ...]] = {}
    update: dict[str, tuple[Resource, ...]] = {"images": tuple(map(_without_arguments, stack.images))}
    for field in ("containers", "services"):
        items: tuple[Resource, ...] = getattr(stack, field, ())
        for item in items:
            if names := tuple(name for name, value in environment_of(item).items() if may_be_secret(name, value)):
                withheld[item.name] = names
        update[field] = tuple(_stripped(item) for item in items)
    return stack.model_copy(update={name: items for name, items in update.items() if items}), withheld


def contents_of(stack: Stack) -> dict[str, str]:
    """Digests of what the configs of a stack hold, by container and config. Of secrets nothing is told."""
    return {
        f"{item.name}/{grant.source}": hashlib.sha256(grant.content.get_secret_value()).hexdigest()
        for item in stack.containers
        for grant in item.configs
        if grant.content is not None
    }


def environment_of(resource: Resource) -> Mapping[str, str]:
    """The environment variables of a container or service."""
    found: Mapping[str, str] = getattr(resource, "environment", {})
    return found


def _without_arguments(image: Image) -> Image:
    """Nobody builds from a record: its image is kept, or pulled."""
    if image.build is None:
        return image
    kept = {name: value for name, value in image.build.args.items() if not may_be_secret(name, value)}
    if len(kept) == len(image.build.args):
        return image
    return image.model_copy(update={"build": image.build.model_copy(update={"args": kept})})


def _stripped(resource: Resource) -> Resource:
    own = environment_of(resource)
    kept = {name: value for name, value in own.items() if not may_be_secret(name, value)}
    return resource if len(kept) == len(own) else resource.model_copy(update={"environment": kept})


def now() -> datetime:
    """The time of now, in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def _checksum(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
