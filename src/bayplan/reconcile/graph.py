"""The order of a plan's steps: a graph in which a step waits only for what it needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from bayplan.errors import DeclarationError
from bayplan.models import Container, ImageMount, Kind, Resource, ResourceId, Stack, VolumeMount
from bayplan.runtime.protocol import Snapshot

_CONTAINER_MODE = "container:"
OF_SWARM = frozenset({Kind.SERVICE, Kind.NODE})
"""Kinds of which only a swarm has some: what is said of them is imported when there are any."""


def requirements(resource: Resource, stack: Stack) -> frozenset[ResourceId]:
    """What must be in place before this resource is made."""
    if resource.kind in OF_SWARM:
        from bayplan.reconcile import swarm

        return swarm.requirements(resource, stack)
    if not isinstance(resource, Container):
        return frozenset()
    needed = {ResourceId(kind=Kind.IMAGE, name=resource.image)}
    needed |= {ResourceId(kind=Kind.NETWORK, name=item.network) for item in resource.networks}
    needed |= {
        ResourceId(kind=Kind.VOLUME, name=item.source) for item in resource.mounts if isinstance(item, VolumeMount)
    }
    needed |= {
        ResourceId(kind=Kind.IMAGE, name=item.source) for item in resource.mounts if isinstance(item, ImageMount)
    }
    needed |= {ResourceId(kind=Kind.SECRET, name=item.source) for item in resource.secrets}
    needed |= {ResourceId(kind=Kind.CONFIG, name=item.source) for item in resource.configs}
    for dependency in resource.depends_on:
        needed |= {item.id for item in stack.containers_of(dependency.service)}
    return frozenset((needed | namespace_owners(resource)) - {resource.id})


def namespace_owners(container: Container) -> frozenset[ResourceId]:
    """The containers whose network, processes or shared memory it shares."""
    modes = (container.network_mode, container.pid, container.ipc)
    names = [mode.removeprefix(_CONTAINER_MODE) for mode in modes if mode and mode.startswith(_CONTAINER_MODE)]
    return frozenset(ResourceId(kind=Kind.CONTAINER, name=name) for name in names)


def check_acyclic(edges: Mapping[ResourceId, Iterable[ResourceId]]) -> None:
    """Raise DeclarationError that prints the cycle, if there is one."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        path = " -> ".join(str(item) for item in reversed(error.args[1]))
        raise DeclarationError(f"dependencies form a cycle: {path}", hint="remove one of these depends_on") from error


def removal_order(doomed: Iterable[ResourceId], snapshot: Snapshot) -> dict[ResourceId, tuple[ResourceId, ...]]:
    """For each resource to delete, those that must be deleted before it: its users and dependents."""
    ids = set(doomed)
    order: dict[ResourceId, set[ResourceId]] = {item: set() for item in ids}
    by_service: dict[str, list[ResourceId]] = {}
    for item in ids:
        observed = snapshot.get(item)
        if observed and isinstance(observed.actual, Container):
            by_service.setdefault(observed.actual.service or item.name, []).append(item)
    for item in ids:
        observed = snapshot.get(item)
        if observed is None:
            continue
        used = set(uses(observed.actual))
        if isinstance(observed.actual, Container):
            for dependency in observed.actual.depends_on:
                used |= set(by_service.get(dependency.service, ()))
        for thing in used - {item}:
            if thing in order:  # each thing by itself: a set of all of them for each would be quadratic
                order[thing].add(item)
    return {item: tuple(sorted(users, key=str)) for item, users in order.items()}


def needs_first(edges: Mapping[ResourceId, Iterable[ResourceId]]) -> list[ResourceId]:
    """A stable order in which every need comes first."""
    placed: dict[ResourceId, None] = {}
    for first in edges:
        # No recursion: a chain of needs may be longer than Python's stack is deep.
        waiting = [] if first in placed else [(first, iter(edges[first]))]
        while waiting:
            item, needs = waiting[-1]
            need = next((one for one in needs if one not in placed), None)
            if need is not None:
                waiting.append((need, iter(edges.get(need, ()))))
            else:
                placed.setdefault(item)
                waiting.pop()
    return [item for item in placed if item in edges]


def uses(resource: Resource) -> frozenset[ResourceId]:
    """What cannot be removed while this resource is there."""
    if resource.kind in OF_SWARM:
        from bayplan.reconcile import swarm

        return swarm.uses(resource)
    if not isinstance(resource, Container):
        return frozenset()
    used = {ResourceId(kind=Kind.NETWORK, name=endpoint.network) for endpoint in resource.networks}
    used |= {
        ResourceId(kind=Kind.VOLUME, name=mount.source) for mount in resource.mounts if isinstance(mount, VolumeMount)
    }
    used.add(ResourceId(kind=Kind.IMAGE, name=resource.image))
    used |= {ResourceId(kind=Kind.IMAGE, name=one.source) for one in resource.mounts if isinstance(one, ImageMount)}
    return frozenset(used) | namespace_owners(resource)
