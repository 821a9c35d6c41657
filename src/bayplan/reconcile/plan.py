"""The plan as a value: what apply will do, field by field, and why. It can be printed, saved and applied as shown."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field, SerializeAsAny

from bayplan.models import (
    Change,
    Condition,
    Container,
    Image,
    Kind,
    Model,
    Network,
    Resource,
    ResourceId,
    Stack,
    Volume,
)
from bayplan.reconcile.basis import fingerprints
from bayplan.runtime.protocol import ResolvedImage, Scope

PLAN_VERSION = 1


class Action(StrEnum):
    """What a step does to its resource."""

    PULL = "pull"
    BUILD = "build"
    CREATE = "create"
    UPDATE = "update"
    HEAL = "heal"
    RESTART = "restart"
    RECREATE = "re-create"
    START = "start"
    STOP = "stop"
    PAUSE = "pause"
    DELETE = "delete"


class FieldChange(Model):
    """One field that differs. ``before`` and ``after`` are JSON values; secrets are masked already."""

    path: str
    before: Any = None
    after: Any = None
    why: str
    how: Change


class Wait(Model):
    """What a container's step waits for before it acts."""

    container: str
    condition: Condition
    required: bool = True


class Step(Model):
    """One action on one resource."""

    resource: ResourceId
    action: Action
    why: str
    fields: tuple[FieldChange, ...] = ()
    risks: tuple[str, ...] = ()
    needs: tuple[ResourceId, ...] = Field((), description="Steps that must be done before this one.")
    waits: tuple[Wait, ...] = ()
    runs: bool = Field(True, description="Containers: whether it runs after the step.")
    paused: bool = Field(False, description="Containers: whether it is paused after the step.")
    defects: tuple[str, ...] = Field((), description="What is mended in place, as sentences.")
    displaces: tuple[ResourceId, ...] = Field((), description="Containers taken off a network before it is re-created.")
    desired: Image | Network | Volume | Container | SerializeAsAny[Resource] | None = Field(None, exclude=True)


class Note(Model):
    """Changed fields that guide the engine alone (the order of steps): only recorded, nothing happens on the host.

    Without fields: what another tool made is taken over as it is.
    """

    resource: ResourceId
    fields: tuple[FieldChange, ...]
    desired: Network | Volume | Container | SerializeAsAny[Resource] | None = Field(None, exclude=True)


class Plan(Model):
    """Everything one apply will do. ``basis`` is the fingerprint of the world it was made on."""

    version: int = PLAN_VERSION
    project: str
    engine: str
    host: str
    scope: Scope
    basis: str
    steps: tuple[Step, ...] = ()
    noted: tuple[Note, ...] = Field((), description="Changes that apply only records; they do not count as changes.")
    images: dict[str, ResolvedImage] = Field(default_factory=dict)
    unchanged: tuple[ResourceId, ...] = ()
    kept: tuple[str, ...] = Field((), description="Things left alone on purpose, as sentences.")
    warnings: tuple[str, ...] = Field((), description="What of the host is in the way, for its administrator to mend.")

    stack: Stack | None = Field(None, exclude=True)
    """All that a project declares, when the plan is for all of it: what a generation is made from."""
    snapshot: Any = Field(None, exclude=True, repr=False)
    """What was observed (``Snapshot``)."""
    note: str = Field("", description="What it is beside an apply of a declaration, such as a rollback.")

    @property
    def changed(self) -> bool:
        """Whether apply would do anything on the host."""
        return bool(self.steps)

    @property
    def seen(self) -> dict[str, str]:
        """Digest of what was observed of each resource; see ``basis``."""
        return {} if self.snapshot is None else fingerprints(self.snapshot)

    def step(self, kind: Kind, name: str) -> Step | None:
        """The step of one resource, if it has one."""
        return next((item for item in self.steps if (item.resource.kind, item.resource.name) == (kind, name)), None)
