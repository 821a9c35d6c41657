"""What the provider has to know of each resource of the package beside what ``package`` says."""

from __future__ import annotations

import functools
from typing import Any

from bayplan.models import Change, change_of
from bayplan.models.base import Model
from bayplan.pulumi import names, package
from bayplan.values import frozen


@frozen
class Shape:
    """One type of resource. ``kind`` is the engine's word; ``name`` the field of its identity on the host.

    ``named``: a name is made for one that is given none. ``renews``: what cannot be changed in place needs another
    resource; else it is made anew under its name, as an image is.
    """

    of: package.Resource
    kind: str
    name: str = "name"
    named: bool = True
    renews: bool = True

    @property
    def model(self) -> type[Model] | None:
        """The engine's model of it."""
        return self.of.model

    @property
    def fields(self) -> Any:
        """The annotation whose members are all inputs, for ``names``."""
        return self.of.given if self.of.model is None else self.of.given | self.of.model

    @property
    def properties(self) -> Any:
        """The same with what only the host knows."""
        return self.fields | self.of.known

    @property
    def outputs(self) -> tuple[str, ...]:
        """Properties that only the host knows."""
        return tuple(names.camel(name) for name in self.of.outputs)

    def change(self, field: str) -> Change:
        """How a change of an input is applied."""
        found = self.of.inputs.get(field)
        if field == self.name:
            return Change.RECREATE
        return change_of(found) if found and self.renews else Change.IN_PLACE


@functools.cache
def shapes() -> dict[str, Shape]:
    """By their tokens."""
    found = (
        Shape(_of("Image"), "image", named=False, renews=False),
        Shape(_of("Container"), "container"),
        Shape(_of("Network"), "network"),
        Shape(_of("Volume"), "volume"),
        Shape(_of("Secret"), "secret"),
        Shape(_of("Config"), "config"),
        Shape(_of("Stack"), "stack", name="project"),
        Shape(_of("RegistryImage"), "registry image", named=False, renews=False),
    )
    return {shape.of.token: shape for shape in found}


def _of(name: str) -> package.Resource:
    return package.RESOURCES[package.token(name)]
