"""Replicas of a service replaced some at a time, by its ``update_config``: lots, as edges between steps.

What a plan shows is then what an apply does: a step of one lot needs all steps of the lot before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bayplan.errors import UnsupportedError
from bayplan.models import Container, ResourceId, RollbackPolicy, Stack
from bayplan.reconcile.graph import namespace_owners
from bayplan.reconcile.plan import Action, Roll, Step

_ROLLED = frozenset({Action.RECREATE, Action.RESTART})
Placed = tuple[Roll, tuple[ResourceId, ...]]
"""How a step rolls, and the steps of the lot before."""


def policy_of(container: Container, *, backwards: bool) -> RollbackPolicy | None:
    """How the container is replaced; ``backwards``: to what ran before."""
    config = container.update_config
    return (config.rollback or config) if config and backwards else config


def starts_first(container: Container, *, backwards: bool) -> bool:
    """Whether its successor is started while it still runs."""
    policy = policy_of(container, backwards=backwards)
    return policy is not None and policy.order == "start-first"


def lots(order: Sequence[ResourceId], found: Mapping[ResourceId, Step], *, backwards: bool) -> dict[ResourceId, Placed]:
    """The lots of every service that says how it is replaced.

    ``order`` is one in which needs come first: lots that follow it make no cycle.
    """
    services: dict[str, list[ResourceId]] = {}
    for item in order:
        step = found[item]
        if step.action in _ROLLED and isinstance(step.desired, Container):
            services.setdefault(step.desired.service or item.name, []).append(item)
    placed: dict[ResourceId, Placed] = {}
    for service, items in services.items():
        first = found[items[0]].desired
        policy = policy_of(first, backwards=backwards) if isinstance(first, Container) else None
        if policy is not None:
            placed |= _placed(service, items, policy)
    return placed


def _placed(service: str, items: Sequence[ResourceId], policy: RollbackPolicy) -> dict[ResourceId, Placed]:
    size = policy.parallelism or len(items)
    groups = [tuple(items[at : at + size]) for at in range(0, len(items), size)]
    placed: dict[ResourceId, Placed] = {}
    for number, group in enumerate(groups):
        roll = Roll(
            service=service,
            lot=number + 1,
            lots=len(groups),
            order=policy.order,
            delay=policy.delay,
            monitor=policy.monitor,
            failure_action=policy.failure_action,
            may_fail=int(policy.max_failure_ratio * len(items)),
        )
        before = groups[number - 1] if number else ()
        placed |= dict.fromkeys(group, (roll, before))
    return placed


def check(stack: Stack) -> None:
    """Raise UnsupportedError for a container that others share a namespace of, and that cannot be there twice so."""
    owners = {owner: container for container in stack.containers for owner in namespace_owners(container)}
    for container in stack.containers:
        if container.id in owners and any(starts_first(container, backwards=way) for way in (False, True)):
            raise UnsupportedError(
                f"{owners[container.id].id} shares a namespace of it, which cannot be that of two at a time",
                where=f"{container.id}: update_config.order",
                hint="stop-first",
            )
