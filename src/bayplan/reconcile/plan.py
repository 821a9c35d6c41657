"""The plan as a value: what apply will do, field by field, and why. It can be printed, saved and applied as shown."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, computed_field

from bayplan.models import (
    Change,
    Condition,
    Container,
    Duration,
    Holder,
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
    TAG = "tag"
    CREATE = "create"
    UPDATE = "update"
    HEAL = "heal"
    RESTART = "restart"
    RECREATE = "re-create"
    START = "start"
    STOP = "stop"
    PAUSE = "pause"
    DELETE = "delete"


class Extent(StrEnum):
    """What of a project a plan is for, and so what of it its generation declares."""

    PROJECT = "project"
    """All of it: what is not declared goes."""
    DECLARED = "declared"
    """All that is declared; what the project has beside that stays, as it was declared."""
    SERVICES = "services"
    """Some services and what they need; of the others nothing is said."""


class Part(Model):
    """What of a declaration somebody asks for: all of it, unless ``services`` are named."""

    services: tuple[str, ...] = ()
    orphans: bool = Field(True, description="Whether what the project has and does not declare goes.")


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


class Roll(Model):
    """How the replacement of one container of a service is done, among the others, and what its failure means."""

    service: str
    lot: int = Field(description="Which of the lots it is in, from 1; each comes after the one before.")
    lots: int
    order: Literal["stop-first", "start-first"]
    delay: Duration = Field(description="Pause after the lot before.")
    monitor: Duration = Field(description="Time after its start in which an end, or turning unhealthy, is a failure.")
    failure_action: Literal["pause", "continue", "rollback"]
    may_fail: int = Field(description="How many of the service may fail and the others go on.")

    def __str__(self) -> str:
        text = f"lot {self.lot} of {self.lots}" if self.lots > 1 else ""
        after = f"{self.delay} after the one before" if self.lot > 1 and self.delay else ""
        watched = f"watched for {self.monitor}" if self.monitor else ""
        return ", ".join(part for part in (text, after, self.order, watched) if part)


class Step(Model):
    """One action on one resource."""

    resource: ResourceId
    service: str = Field("", description="Service of the project that a container is of.")
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
    rejoins: tuple[ResourceId, ...] = Field((), description="Networks made anew that it is put on again, as it runs.")
    roll: Roll | None = Field(None, description="How a container is replaced, where its declaration says so.")
    desired: Image | Network | Volume | Container | SerializeAsAny[Resource] | None = Field(None, exclude=True)


def service_of(resource: Resource) -> str:
    """The service whose container it is; empty for anything else."""
    return resource.service if isinstance(resource, Container) else ""


class Note(Model):
    """Changed fields that guide the engine alone (the order of steps): only recorded, nothing happens on the host.

    Without fields: what another tool made is taken over as it is.
    """

    resource: ResourceId
    fields: tuple[FieldChange, ...]
    desired: Network | Volume | Container | SerializeAsAny[Resource] | None = Field(None, exclude=True)


class Plan(Holder):
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
    """What a generation of the project is made from, which has more where ``extent`` says so; None: it leaves none."""
    extent: Extent = Field(Extent.PROJECT, exclude=True)
    stopped: tuple[str, ...] = Field((), exclude=True)
    """Containers that are declared to be there and not to run."""
    snapshot: Any = Field(None, exclude=True, repr=False)
    """What was observed (``Snapshot``)."""
    meanwhile: str = Field(
        "", description="Who was changing the project as it was planned, and what for: what was seen may be half done."
    )
    note: str = Field("", description="What it is beside an apply of a declaration, such as a rollback.")

    @computed_field(description="Whether an apply would do anything on the host.")  # type: ignore[prop-decorator]
    @property
    def changed(self) -> bool:
        """Whether apply would do anything on the host."""
        return bool(self.steps)

    @computed_field(description="How many steps there are of each action.")  # type: ignore[prop-decorator]
    @property
    def counts(self) -> dict[str, int]:
        """How many steps there are of each action, in the order of their names."""
        return dict(sorted(Counter(step.action.value for step in self.steps).items()))

    @property
    def seen(self) -> dict[str, str]:
        """Digest of what was observed of each resource; see ``basis``."""
        return {} if self.snapshot is None else fingerprints(self.snapshot)

    def step(self, kind: Kind, name: str) -> Step | None:
        """The step of one resource, if it has one."""
        return next((item for item in self.steps if (item.resource.kind, item.resource.name) == (kind, name)), None)
