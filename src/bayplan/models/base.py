"""What every model shares: frozen, closed, and fields that say how a change of them is applied."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo


class Change(StrEnum):
    """How a change of a field is applied to a resource that exists. Ordered from mild to heavy."""

    NONE = "none"
    """Nothing to do on the host: the field guides the engine itself (ordering, pull policy)."""
    IN_PLACE = "in-place"
    """Applied to the running resource; nothing restarts."""
    RESTART = "restart"
    """Applied by stopping and starting the same container."""
    RECREATE = "re-create"
    """Needs a new container, network or volume in place of the old one."""

    @property
    def weight(self) -> int:
        """Position from mild (0) to heavy (3); the heaviest change of a resource decides its action."""
        return list(Change).index(self)


class Sensitive:
    """Marks a field (or the values of a mapping field) that may hold a secret: shown masked in plans, logs, diffs."""

    def __repr__(self) -> str:
        return "SENSITIVE"


NO_CHANGE = Change.NONE
IN_PLACE = Change.IN_PLACE
RESTART = Change.RESTART
RECREATE = Change.RECREATE
SENSITIVE = Sensitive()


class Model(BaseModel):
    """Base of all values: frozen, no unknown fields, built lazily (import cost)."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, validate_default=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values; what a ``cached_property`` of this one keeps is not taken along."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied


class Kind(StrEnum):
    """The kinds of resource, in the order in which they are made."""

    IMAGE = "image"
    NETWORK = "network"
    VOLUME = "volume"
    SECRET = "secret"  # noqa: S105 - a kind's name
    CONFIG = "config"
    CONTAINER = "container"
    NODE = "node"
    SERVICE = "service"


@dataclass(frozen=True, eq=False)
class ResourceId:
    """Names one resource on one host: its kind and its final name there.

    No model: a plan makes, compares and hashes these far more often than anything else.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ResourceId) and self.name == other.name and self.kind is other.kind

    def __hash__(self) -> int:
        return hash(self.name)


class Resource(Model):
    """A declared thing with a name on the host. Subclasses set ``kind``."""

    name: str

    @property
    def kind(self) -> Kind:
        """The resource's kind."""
        raise NotImplementedError  # pragma: no cover - each resource has its own

    @cached_property
    def id(self) -> ResourceId:
        """Kind and name."""
        return ResourceId(kind=self.kind, name=self.name)


def change_of(info: FieldInfo) -> Change:
    """The way of change a field is annotated with; a field without one is a mistake in the model.

    Raises TypeError when the annotation is missing (tests/unit/models checks every field of every resource).
    """
    for item in info.metadata:
        if isinstance(item, Change):
            return item
    raise TypeError(f"field {info!r} has no way of change")


def is_sensitive(info: FieldInfo) -> bool:
    """Whether the field is annotated SENSITIVE."""
    return any(isinstance(item, Sensitive) for item in info.metadata)


@functools.cache
def comparable_fields(model: type[Resource]) -> Mapping[str, tuple[FieldInfo, Change]]:
    """The fields of a resource that the diff looks at, with their way of change.

    ``name`` is identity; what is never recorded has nothing to be compared with.
    """
    return {
        name: (info, change_of(info))
        for name, info in model.model_fields.items()
        if name != "name" and not info.exclude
    }
