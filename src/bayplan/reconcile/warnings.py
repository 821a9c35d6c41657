"""What of a host is in the way of a plan, and only its administrator can mend: told with the plan, no reason for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from bayplan.models import Kind, Network, Stack
from bayplan.reconcile.plan import Action, Step
from bayplan.runtime.protocol import Facts, Snapshot

_MADE = (Action.CREATE, Action.RECREATE)


def of_swarm(stack: Stack, snapshot: Snapshot) -> Iterator[str]:
    """What is less than declared of services and nodes: the swarm goes on trying, a plan does nothing about it."""
    for kind in (Kind.NODE, Kind.SERVICE):
        for item in snapshot.of(kind):
            if stack.find(item.id) is not None:
                yield from (f"{item.id}: {note}" for note in item.notes)


def of_networks(stack: Stack, snapshot: Snapshot, steps: Collection[Step], facts: Facts) -> Iterator[str]:
    """Notes of the networks that are there; of those that will be made, what the host does to networks."""
    for item in snapshot.of(Kind.NETWORK):
        if stack.find(item.id) is not None:
            yield from (f"{item.id}: {note}" for note in item.notes)
    for step in steps:
        made = stack.find(step.resource) if step.action in _MADE else None
        if isinstance(made, Network) and made.forwards:
            yield from (f"{made.id}: {note}" for note in facts.network_notes())
