"""Containers that were renamed by hand: the declaration follows them, found by labels as Compose finds its own."""

from __future__ import annotations

from collections.abc import Mapping

from bayplan.models import Container, Kind, Stack, labels
from bayplan.runtime.protocol import Observed, Snapshot

_IDENTITY = (labels.PROJECT, labels.SERVICE, labels.NUMBER)


def follow(stack: Stack, snapshot: Snapshot) -> Stack:
    """The stack with the names that its containers have on the host; names that were declared stay as they are."""
    there = {_identity(item.actual): item for item in snapshot.of(Kind.CONTAINER) if _is_free(item, stack)}
    found = tuple(_named(item, snapshot, there) for item in stack.containers)
    return stack if found == stack.containers else stack.model_copy(update={"containers": found})


def generated_name(container: Container) -> str | None:
    """The name that a service's container has unless another is declared; None for one of no project."""
    project, service, number = (container.labels.get(name) for name in _IDENTITY)
    return f"{project}-{service}-{number}" if project and service and number else None


def _named(container: Container, snapshot: Snapshot, there: Mapping[object, Observed]) -> Container:
    if container.name != generated_name(container) or snapshot.get(container.id) is not None:
        return container
    renamed = there.get(_identity(container))
    return container if renamed is None else container.model_copy(update={"name": renamed.id.name})


def _is_free(item: Observed, stack: Stack) -> bool:
    return item.managed and not item.superseded and stack.find(item.id) is None


def _identity(resource: object) -> object:
    mine = resource.labels if isinstance(resource, Container) else {}
    found = tuple(mine.get(name) for name in _IDENTITY)
    return found if all(found) else None
