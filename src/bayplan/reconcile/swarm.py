"""What planning has to know of a swarm's services and nodes. Imported when a declaration has some."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar, cast

from bayplan.errors import DeclarationError
from bayplan.models import BindMount, Duration, Kind, Resource, ResourceId, Stack
from bayplan.models.swarm import Config, Service, SwarmNode, SwarmStack
from bayplan.reconcile.isolation import of_bind, of_capabilities
from bayplan.runtime.protocol import ImageOrigin, ResolvedImage, Snapshot

_C = TypeVar("_C", bound=Config)
_START = timedelta(minutes=2)
"""Time that a task may take for what nobody declares: pulling its image, and its start."""
_MOST_TASKS = 50
"""A global service has as many tasks as nodes allow, which its declaration does not say."""


def requirements(resource: Resource, stack: Stack) -> frozenset[ResourceId]:
    """What must be in place before a service or node is made."""
    if isinstance(resource, SwarmNode):
        return _before(resource, stack)
    if not isinstance(resource, Service):
        return frozenset()
    named = {item.service: item.id for item in stack.resources() if isinstance(item, Service)}
    needed = {named[key] for key in resource.depends_on if key in named}
    return (uses(resource) | needed | {ResourceId(kind=Kind.IMAGE, name=resource.image)}) - {resource.id}


def _before(node: SwarmNode, stack: Stack) -> frozenset[ResourceId]:
    """One after the other, managers first: the first of them makes the swarm that the others join.

    Each manager more or less changes the quorum, and is waited for. One becomes a worker when its successors are there.
    """
    nodes = [item for item in stack.resources() if isinstance(item, SwarmNode)]
    ordered = sorted(nodes, key=lambda item: item.role != "manager")
    return frozenset(item.id for item in ordered[: ordered.index(node)])


def uses(resource: Resource) -> frozenset[ResourceId]:
    """What a swarm does not remove while the service is there."""
    if not isinstance(resource, Service):
        return frozenset()
    found = {ResourceId(kind=Kind.NETWORK, name=item.network) for item in resource.networks}
    found |= {ResourceId(kind=Kind.SECRET, name=item.source) for item in resource.secrets}
    found |= {ResourceId(kind=Kind.CONFIG, name=item.source) for item in resource.configs}
    return frozenset(found)


def completed(stack: Stack, images: Mapping[str, ResolvedImage], snapshot: Snapshot) -> Stack:
    """With the digests of the services' images; where no registry was asked, or knows one, what runs stays."""
    if not isinstance(stack, SwarmStack):
        return stack

    def pinned(service: Service) -> Service:
        image, found = images.get(service.image), snapshot.get(service.id)
        digest = (image.digest if image else "") or None
        runs = found.actual if found is not None and isinstance(found.actual, Service) else None
        asked = image is not None and not (image.origin is ImageOrigin.LOCAL and image.present)
        if runs is not None and runs.image == service.image and (digest is None or not asked):
            digest = runs.digest or digest
        return service.model_copy(update={"digest": digest})

    return stack.model_copy(update={"services": tuple(pinned(item) for item in stack.services)})


def restored(
    stack: Stack, snapshot: Snapshot, current: Stack | None, secrets_of_now: Callable[[Service], Resource]
) -> Stack:
    """A stack of a generation, with the secrets and configs of now: of the declaration, else what the swarm has.

    Raises DeclarationError for one that nobody has.
    """
    if not isinstance(stack, SwarmStack):
        return stack
    held = current if isinstance(current, SwarmStack) else SwarmStack(name=stack.name)
    secrets = tuple(_of_now(one, held.secrets, snapshot) for one in stack.secrets)
    configs = tuple(_of_now(one, held.configs, snapshot) for one in stack.configs)
    names = {
        Kind.SECRET: {old.name: new.name for old, new in zip(stack.secrets, secrets, strict=True)},
        Kind.CONFIG: {old.name: new.name for old, new in zip(stack.configs, configs, strict=True)},
    }
    services = tuple(cast(Service, secrets_of_now(item)).sealed(names) for item in stack.services)
    return stack.model_copy(update={"secrets": secrets, "configs": configs, "services": services})


def _of_now(kept: _C, declared: Sequence[_C], snapshot: Snapshot) -> _C:
    """One with what it holds; else the version that is there, as something that is used and not made."""
    found = next((item for item in declared if item.name == kept.name), None)
    if found is not None or kept.external:
        return found or kept
    there = [item.id.name for item in snapshot.of(kept.kind) if item.id.name.startswith(f"{kept.name}-")]
    if not there:
        raise DeclarationError(
            f"what {kept.name} holds is in no generation",
            where=str(kept.id),
            hint="run it where the declaration is, so that it is read from there",
        )
    return kept.model_copy(update={"name": there[-1]})


def risks_of(resource: Resource) -> Iterator[str]:
    """Risks that a service's declaration carries, as sentences."""
    if not isinstance(resource, Service):
        return
    for port in resource.ports:
        shown = f"port {port.published}/{port.protocol}" if port.published else "a port that the swarm chooses"
        where = "every node" if port.mode == "ingress" else "each node that runs a task"
        yield f"exposure: {shown} is open on every address of {where}"
    if any(item.network == "host" for item in resource.networks):
        yield "isolation: shares its nodes' network"
    yield from of_capabilities(resource.cap_add)
    for mount in resource.mounts:
        if isinstance(mount, BindMount):
            yield from of_bind(mount.source, read_only=mount.read_only)


def time_to_settle(resource: Resource) -> Duration:
    """The time in which a change of a service must have reached all its tasks, with room for slow nodes."""
    if not isinstance(resource, Service):
        return Duration.parse(_START)
    policy, check = resource.update, resource.healthcheck
    count = resource.replicas if resource.mode == "replicated" else _MOST_TASKS
    lots = 1 if policy.parallelism == 0 else max(1, -(-count // policy.parallelism))
    usual = timedelta(seconds=30)
    healthy = timedelta()
    if check is not None and not check.is_off:
        once = (check.interval or usual) + (check.timeout or usual)
        healthy = (check.start_period or timedelta()) + once * ((check.retries or 3) + 1)
    each = policy.delay + policy.monitor + resource.stop_grace_period + resource.restart.delay + healthy
    return Duration.parse(_START + (each + timedelta(seconds=20)) * lots)
