"""What is to go, and when: what was declared and no longer is, what is declared absent, what a cut change has left."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from bayplan.errors import ConflictError
from bayplan.models import Container, Kind, ResourceId, Stack, VolumeMount, labels
from bayplan.reconcile.graph import needs_first, removal_order, uses
from bayplan.reconcile.plan import Action, Step, service_of
from bayplan.reconcile.reasons import UNDECLARED
from bayplan.runtime.protocol import Observed, Scope, Snapshot

_LEFT_LAST = frozenset({Kind.NETWORK, Kind.SECRET, Kind.CONFIG, Kind.NODE})


def doomed(
    stack: Stack, scope: Scope, snapshot: Snapshot, absent: Collection[ResourceId], *, orphans: bool = True
) -> tuple[dict[ResourceId, str], list[str]]:
    """What is to be removed and why, and sentences on what is left alone. Raises ConflictError for a stranger's.

    Without ``orphans`` what is no longer declared stays, but for containers that a service has too many of.
    """
    found: dict[ResourceId, str] = {}
    kept: list[str] = []
    of_images = _of_images(stack, snapshot)
    for item in snapshot.resources.values():
        if item.id in absent:
            if not item.managed:
                raise ConflictError(f"{item.id} was not made by Bayplan", hint="remove it by what made it")
            found[item.id] = "declared absent"
        elif item.superseded:
            found[item.id] = "left by an interrupted replacement"
        elif stack.find(item.id) is None and item.managed and _in_project(item, scope):
            if item.id.name in of_images or _is_one_off(item):
                continue
            if not orphans and item.actual.kind not in (Kind.VOLUME, Kind.IMAGE) and not _is_surplus(item, stack):
                kept.append(f"{item.id} is {UNDECLARED}, and orphans stay")
            elif item.actual.kind in (Kind.VOLUME, Kind.IMAGE):
                kept.append(f"{item.id} is {UNDECLARED}; data is never removed unasked")
            else:
                found[item.id] = UNDECLARED
    return found, kept


def undeclared_volumes(stack: Stack, snapshot: Snapshot) -> list[ResourceId]:
    """Volumes of the project, made by us, that it no longer declares, nor an image of its containers."""
    of_images = _of_images(stack, snapshot)
    return [
        item.id
        for item in snapshot.of(Kind.VOLUME)
        if item.managed and item.project == stack.name and stack.find(item.id) is None and item.id.name not in of_images
    ]


def removals(found: Mapping[ResourceId, str], snapshot: Snapshot) -> list[Step]:
    """The steps that remove them, users first."""
    order = removal_order(found, snapshot)
    risk = {Kind.VOLUME: ("data: the volume's content is lost",)}
    steps = {
        item: Step(
            resource=item,
            service=service_of(there.actual) if (there := snapshot.get(item)) else "",
            action=Action.DELETE,
            why=why,
            needs=order[item],
            risks=risk.get(item.kind, ()),
        )
        for item, why in found.items()
    }
    return [steps[item] for item in needs_first(order)]


def with_others(leaving: Sequence[Step], others: Sequence[Step], snapshot: Snapshot) -> list[Step]:
    """All steps; a network goes after the containers that leave it with a change of theirs, a secret likewise.

    Nodes leave one by one, when the others are what they shall be, so that the swarm keeps enough managers.
    """
    first, last = list[Step](), list[Step]()
    for step in leaving:
        if step.resource.kind not in _LEFT_LAST:
            first.append(step)
            continue
        users = [
            other.resource
            for other in others
            if ((found := snapshot.get(other.resource)) is not None and step.resource in uses(found.actual))
            or step.resource.kind is other.resource.kind is Kind.NODE
        ]
        if step.resource.kind is Kind.NODE:
            users += [other.resource for other in (*first, *last) if other.resource.kind is Kind.NODE]
        (last if users else first).append(step.model_copy(update={"needs": (*step.needs, *users)}))
    return [*first, *others, *last]


def _of_images(stack: Stack, snapshot: Snapshot) -> frozenset[str]:
    """Volumes that images have asked for, of containers that stay: an image that is not built yet may again."""
    return frozenset(
        mount.source
        for item in snapshot.of(Kind.CONTAINER)
        if isinstance(item.actual, Container) and stack.find(item.id) is not None
        for mount in item.actual.mounts
        if isinstance(mount, VolumeMount) and mount.of_image
    )


def _in_project(item: Observed, scope: Scope) -> bool:
    return scope.project is not None and item.project == scope.project


def _is_surplus(item: Observed, stack: Stack) -> bool:
    """Whether it is one too many of a service that is declared, and so no orphan."""
    return bool(service := service_of(item.actual)) and bool(stack.containers_of(service))


def _is_one_off(item: Observed) -> bool:
    """Whether it is a container of a single command, which ends by itself; only a destroy takes it along."""
    return isinstance(item.actual, Container) and labels.ONE_OFF in item.actual.labels
