"""Steps that follow from others: of a network's users, of who shares a namespace, of who asked to restart along."""

from __future__ import annotations

from bayplan.models import Change, Container, Kind, ResourceId
from bayplan.reconcile.graph import namespace_owners
from bayplan.reconcile.plan import Action
from bayplan.reconcile.steps import Steps

_NEW_NAMESPACES = {
    Action.CREATE: "made",
    Action.RECREATE: "re-created",
    Action.RESTART: "restarted",
    Action.START: "started",
}


def follow(steps: Steps) -> None:
    """Add to the steps found those that they bring with them."""
    _networks(steps)
    _namespaces_and_restarts(steps)


def _networks(steps: Steps) -> None:
    """A network that is made anew takes its containers off first; they run on, and come back on it."""
    for step in list(steps.found.values()):
        if step.resource.kind is not Kind.NETWORK or step.action is not Action.RECREATE:
            continue
        users = [
            item
            for item in steps.snapshot.of(Kind.CONTAINER)
            if isinstance(item.actual, Container)
            and step.resource.name in [endpoint.network for endpoint in item.actual.networks]
        ]
        steps.found[step.resource] = step.model_copy(update={"displaces": tuple(item.id for item in users)})
        for item in users:
            desired = steps.stack.find(item.id)
            if isinstance(desired, Container):
                _rejoin(steps, desired, step.resource)


def _rejoin(steps: Steps, container: Container, network: ResourceId) -> None:
    """The container's step puts it on the network again; one of its own that makes it anew does so anyway."""
    step = steps.found.get(container.id)
    runs_on = step is None or step.action is Action.UPDATE
    if (step is None and "networks" not in steps.facts.in_place) or (runs_on and _loses_mac(steps, container, network)):
        fields, why = steps.fields(container.id), f"{network} is re-created"
        steps.found[container.id] = steps.make(container, Action.RECREATE, why, fields, Change.RECREATE)
        return
    if step is None:
        step = steps.make(container, Action.UPDATE, f"{network} is re-created", steps.fields(container.id))
        step = step.model_copy(update={"waits": ()})  # it runs on
    steps.found[container.id] = step.model_copy(update={"rejoins": (*step.rejoins, network)})


def _loses_mac(steps: Steps, container: Container, network: ResourceId) -> bool:
    declared = any(one.network == network.name and one.mac_address for one in container.networks)
    return declared and not steps.facts.rejoins_with_mac


def _namespaces_and_restarts(steps: Steps) -> None:
    """Containers that share a namespace with one that starts anew, or asked to restart with it, follow it."""
    while any(_follows(steps, container) for container in steps.stack.containers):
        pass


def _follows(steps: Steps, container: Container) -> bool:
    if container.id in steps.found or steps.snapshot.get(container.id) is None or container.id in steps.stopped:
        return False
    why = ""
    for owner in sorted(namespace_owners(container), key=str):
        step = steps.found.get(owner)
        if step and step.action in _NEW_NAMESPACES:
            why = f"shares a namespace of {owner}, which is {_NEW_NAMESPACES[step.action]}"
    for dependency in container.depends_on:
        others = [steps.found.get(item.id) for item in steps.stack.containers_of(dependency.service)]
        if not why and dependency.restart and any(item and item.action is Action.RECREATE for item in others):
            why = f"{dependency.service} is re-created, and depends_on asks for a restart"
    if why:
        fields = steps.fields(container.id)
        steps.found[container.id] = steps.make(container, Action.RESTART, why, fields, Change.RESTART)
    return bool(why)
