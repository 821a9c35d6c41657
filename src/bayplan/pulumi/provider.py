"""What a configured provider does for each question of Pulumi, in plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bayplan.errors import UnsupportedError
from bayplan.pulumi import checking, config, naming, secrecy
from bayplan.pulumi.failures import Wrong
from bayplan.pulumi.resources import resource_of
from bayplan.pulumi.resources.base import Found, Resource, Task, Values, fields
from bayplan.pulumi.session import Session
from bayplan.pulumi.shapes import Shape
from bayplan.pulumi.values import UNKNOWN, plain
from bayplan.pulumi.verdict import Verdict


class Provider:
    """One provider, which is one host. Raises errors of ``bayplan.errors``."""

    def __init__(self, args: Mapping[str, Any], directory: Path, warn: Callable[[str], None]) -> None:
        self.session = Session(config.place(config.read(args)), directory, warn)

    def check(
        self, urn: str, news: Values, olds: Values, make: Callable[[], str | None]
    ) -> tuple[dict[str, Any], list[Wrong]]:
        """Inputs with a name and what is secret marked; and what is wrong with them.

        ``make`` gives a name for one that has none; None where the user has switched that off.
        """
        resource = self._resource(urn)
        inputs = _named(resource.shape, news, olds, make)
        if resource.shape.named and inputs.get(resource.shape.name) is None:
            return inputs, [Wrong(resource.shape.name, "is missing, and automatic names are off")]
        values = fields(resource.shape, inputs)
        wrong = checking.wrong(resource.shape, values) or resource.wrong(values)
        return secrecy.wrapped(resource.shape.fields, inputs), wrong

    def diff(
        self, urn: str, id_: str, news: Values, old_inputs: Values, olds: Values, *, ignored: Sequence[str] = ()
    ) -> Verdict:
        """What differs from what is there."""
        found = self._resource(urn).diff(Task(self.session, news, old_inputs, olds, id_))
        if ignored:
            found.ignore(ignored)
        return found

    def create(self, urn: str, inputs: Values, *, preview: bool, timeout_s: float) -> tuple[str, Values]:
        """Its id and outputs."""
        task = Task(self.session, inputs, {}, {}, "", preview, timeout_s or None)
        return self._resource(urn).create(task)

    def read(self, urn: str, id_: str, inputs: Values, state: Values) -> Found | None:
        """What is there."""
        return self._resource(urn).read(Task(self.session, inputs, inputs, state, id_))

    def update(
        self,
        urn: str,
        id_: str,
        news: Values,
        old_inputs: Values,
        olds: Values,
        *,
        preview: bool,
        timeout_s: float,
    ) -> Values:
        """Its outputs."""
        task = Task(self.session, news, old_inputs, olds, id_, preview, timeout_s or None)
        return self._resource(urn).update(task)

    def delete(self, urn: str, id_: str, inputs: Values, olds: Values, *, timeout_s: float) -> None:
        """Remove it."""
        self._resource(urn).delete(Task(self.session, inputs, inputs, olds, id_, False, timeout_s or None))

    def invoke(self, token: str, args: Values) -> tuple[Values, list[Wrong]]:
        """The answer of a function, or what is wrong with its arguments."""
        from bayplan.pulumi import functions

        return functions.call(token, args, self.session)

    def _resource(self, urn: str) -> Resource:
        token = urn.split("::")[2].rpartition("$")[2] if urn.count("::") >= 3 else urn
        found = resource_of(token)
        if found is None:
            raise UnsupportedError(f"the package has no resource {token}", where="provider bayplan")
        return found


def _named(shape: Shape, news: Values, olds: Values, make: Callable[[], str | None]) -> dict[str, Any]:
    """Inputs with a name: the given one, the one that was made before, or a new one; and a note of the latter."""
    inputs = {name: value for name, value in news.items() if name != naming.DEFAULTS}
    if not shape.named or plain(inputs.get(shape.name)) is not None:
        return inputs
    before = plain(olds.get(shape.name)) if naming.is_automatic(olds, shape.name) else None
    name = before if before not in (None, UNKNOWN) else make()
    name = naming.of_project(name) if name is not None and shape.name == "project" else name
    return {**inputs, shape.name: name, naming.DEFAULTS: [shape.name]} if name is not None else inputs
