"""What one configured provider has: the connection to its host, and the ways to ask it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bayplan.errors import DeclarationError
from bayplan.pulumi.batches import Answer, Batches
from bayplan.pulumi.connection import Connection
from bayplan.pulumi.files import Tree
from bayplan.pulumi.place import Place

Item = Mapping[str, Any]
_TRIES = 3


class Session:
    """Nothing is begun before the first question: the host may be one that the same program makes."""

    def __init__(self, place: Place, directory: Path, warn: Callable[[str], None] = lambda _: None) -> None:
        self.directory = directory
        """Where relative paths of the program are."""
        self.connection = Connection(place, warn)
        self.clears = self.is_away = False
        """Whether a Diff has found something that goes before its successor is made; a preview the host to be away."""
        self._batches, self._sending = Batches(self.connection), threading.Lock()

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

    def with_files(self, tree: Tree, question: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The answer to a question about a tree, once what the host lacks of it was sent.

        One tree at a time: what waits there for its question is thrown away by the next. Raises DeclarationError.
        """
        with self._sending:
            for _ in range(_TRIES):
                answer = question()
                if "missing" not in answer:
                    return answer
                for contents in tree.batches(answer["missing"]):
                    self.connection.ask("send", {"contents": contents})
        raise DeclarationError("files were changed while they were sent", where=str(tree.top), hint="run it again")

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
