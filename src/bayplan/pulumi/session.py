"""What one configured provider has: the connection to its host, and the ways to ask it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bayplan.pulumi.batches import Answer, Batches
from bayplan.pulumi.connection import Connection, Place

Item = Mapping[str, Any]


class Session:
    """Nothing is begun before the first question: the host may be one that the same program makes."""

    def __init__(self, place: Place, directory: Path) -> None:
        self.directory = directory
        """Where relative paths of the program are."""
        self.connection = Connection(place)
        self._batches = Batches(self.connection)

    @property
    def is_remote(self) -> bool:
        """Whether files of the program are not files of the host."""
        return self.connection.place.remote is not None

    def cancel(self) -> None:
        """What is under way ends between two steps, and nothing more is begun: Pulumi is about to end."""
        self.connection.stop()

    def ask(self, verb: str, options: Mapping[str, Any], *, check: bool = False, **more: Any) -> dict[str, Any]:
        """A question that is answered soon. Raises RefusedError, UnavailableError."""
        limit = self.connection.place.timeout_s
        return self.connection.ask(verb, options, check=check, timeout_s=limit, **more)

    def plan(self, items: Sequence[Item]) -> Mapping[str, Any]:
        """The engine's plan for single resources, as JSON. Changes nothing."""
        found: Mapping[str, Any] = self.ask("singles", {"resources": list(items)}, check=True)["plan"]
        return found

    def carry_out(self, item: Item, timeout_s: float | None = None) -> Answer:
        """Make one as it says, together with others that are asked for at the same time."""
        return self._batches.ask(item, timeout_s)

    def observed(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """What is on the host of one."""
        answer = self.ask("observed", {"resources": [{"kind": kind, "name": name}]})
        found: Mapping[str, Any] | None = answer["answers"][0]["observed"]
        return found

    def close(self) -> None:
        """End the connection."""
        self.connection.close()
