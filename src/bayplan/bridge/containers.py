"""Containers outside of projects: one or many of them in one plan, in the state that each is to have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bayplan import app
from bayplan.bridge import telling
from bayplan.bridge.answers import done, failure, shown
from bayplan.bridge.as_it_is import completed
from bayplan.bridge.request import read_resources
from bayplan.bridge.rooms import Asked, container_ids
from bayplan.bridge.spellings import canonical
from bayplan.bridge.wanted import Wanted
from bayplan.errors import BayplanError, DeclarationError, NotFoundError, RuntimeFailureError
from bayplan.models import Change, Condition, Duration, Endpoint, Kind, Network, ResourceId, Stack, Volume, VolumeMount
from bayplan.models import Settings as _Settings
from bayplan.reconcile import comparisons
from bayplan.reconcile.plan import Plan
from bayplan.reconcile.verbs import Command
from bayplan.runtime.protocol import LIVE, Health, Runtime, Scope, Snapshot

BRIDGE = "bridge"
"""The network of containers that name none, called as Docker calls it."""


def container(asked: Asked) -> dict[str, Any]:
    """One plan for all of them; then what is waited for, and what came of it.

    Of several, in ``containers``, the other options are what each has that says nothing else.
    """
    alone = {name: value for name, value in asked.options.items() if name != "containers"}
    items = asked.options.get("containers")
    wanted = [Wanted.read({**alone, **canonical(item)}) for item in ([{}] if items is None else items)]
    if twice := {one.name for one in wanted if [other.name for other in wanted].count(one.name) > 1}:
        raise DeclarationError(f"containers: {min(twice)} is there twice", hint="each name once")
    stack = read_resources([one.resource for one in wanted if one.state != "absent"])
    for one in wanted:
        comparisons.check(one.rules, f"container {one.name}")
    with asked.opened() as (runtime, settings):

        def make() -> Plan:
            return plan_of(stack, wanted, runtime, settings)

        if asked.check:
            return {**shown(make()), "result": None, **_inspected(wanted, runtime)}
        plan, outcome = app.converge(make, runtime, settings, report=telling.report())
        response = {**shown(plan), **done(outcome)}
        if not response.get("failed"):
            response |= _afterwards(wanted, plan, runtime, settings)
        return {**response, **_inspected(wanted, runtime)}


def plan_of(
    stack: Stack,
    wanted: Sequence[Wanted],
    runtime: Runtime,
    settings: _Settings,
    *,
    absent: Sequence[ResourceId] = (),
) -> Plan:
    """The plan for containers as each is wanted, and for what else the stack declares; ``absent`` goes as well."""
    ids = {one.name: container_ids([one.name])[0] for one in wanted}
    looked = [ids[one.name] for one in wanted if one.state == "present" or one.rules or one.restart]
    there = runtime.observe(Scope(names=(*looked, *_named(stack)))) if looked or _named(stack) else Snapshot()
    stack = completed(stack, there)
    stack = _with_bridge(stack, runtime)
    stack = _with_missing(stack, there)
    stopped = [
        ids[one.name]
        for one in wanted
        if one.state == "stopped" or (one.state == "present" and not _lives(there, ids[one.name]))
    ]
    forced = {
        ids[one.name]: Change.RECREATE if one.recreate else Change.RESTART
        for one in wanted
        if one.recreate or (one.restart and one.state != "stopped" and _lives(there, ids[one.name]))
    }

    def make(one: Stack) -> Plan:
        gone = [*absent, *(ids[item.name] for item in wanted if item.state == "absent")]
        paused = [ids[item.name] for item in wanted if item.state == "paused"]
        return app.plan(one, runtime, absent=gone, stopped=stopped, paused=paused, forced=forced, settings=settings)

    return comparisons.planned(stack, there, {ids[one.name]: one.rules for one in wanted if one.rules}, make)


def _named(stack: Stack) -> tuple[ResourceId, ...]:
    """Volumes that its containers mount, and the network of those that name none."""
    mounts = [mount for item in stack.containers for mount in item.mounts]
    volumes = dict.fromkeys(mount.source for mount in mounts if isinstance(mount, VolumeMount))
    plain = any(not item.networks and item.network_mode is None for item in stack.containers)
    bridge = (ResourceId(kind=Kind.NETWORK, name=BRIDGE),) if plain else ()
    return (*(ResourceId(kind=Kind.VOLUME, name=name) for name in volumes), *bridge)


def _with_bridge(stack: Stack, runtime: Runtime) -> Stack:
    """Containers that name no network on the one that is for them, as on the engines that have such a network."""
    if all(item.networks or item.network_mode for item in stack.containers) or runtime.facts().engine != "native":
        return stack
    on_it = {"networks": (Endpoint(network=BRIDGE),)}
    placed = tuple(
        item if item.networks or item.network_mode else item.model_copy(update=on_it) for item in stack.containers
    )
    return stack.model_copy(update={"containers": placed})


def _with_missing(stack: Stack, there: Snapshot) -> Stack:
    """With volumes that are mounted and not there yet, and the bridge: the plan shows that they are made."""
    missing = [item for item in _named(stack) if item.kind is Kind.VOLUME and there.get(item) is None]
    bridge = ResourceId(kind=Kind.NETWORK, name=BRIDGE)
    on_it = any(place.network == BRIDGE for item in stack.containers for place in item.networks)
    networks = (Network(name=BRIDGE),) if on_it and there.get(bridge) is None else ()
    return stack.model_copy(
        update={
            "volumes": (*stack.volumes, *(Volume(name=item.name) for item in missing)),
            "networks": (*stack.networks, *networks),
        }
    )


def _lives(there: Snapshot, item: ResourceId) -> bool:
    found = there.get(item)
    return found is not None and found.status.state in LIVE


def _afterwards(wanted: Sequence[Wanted], plan: Plan, runtime: Runtime, settings: _Settings) -> dict[str, Any]:
    """Wait for those that are to be healthy, and for the end of those that run once. A failure keeps what was done."""
    try:
        for one in wanted:
            if one.state == "healthy":
                await_health(one.name, one.healthy_wait_timeout, runtime)
        ended: dict[str, Any] = {}
        for one in wanted:
            if not one.detach and not ended.get("failed") and plan.step(Kind.CONTAINER, one.name) is not None:
                ended = _ended(one, runtime, settings)
    except BayplanError as error:
        return failure(error)
    return ended


def await_health(name: str, timeout: Duration, runtime: Runtime) -> None:
    """Wait until it is healthy. Raises RuntimeFailureError, also for one without a health check."""
    (item,) = container_ids([name])
    found = runtime.observe(Scope(names=(item,))).get(item)
    if found is not None and found.status.health is Health.NONE:
        raise RuntimeFailureError(
            "it has no health check, its image neither",
            where=str(item),
            hint="declare a healthcheck, or do not wait for it to be healthy",
        )
    runtime.wait(name, Condition.HEALTHY.value, timeout, stopped=app.is_stopped)


def _ended(one: Wanted, runtime: Runtime, settings: _Settings) -> dict[str, Any]:
    """The exit code and the output of one that is not left to itself; with ``cleanup`` it is removed then."""
    code = runtime.await_end(one.name)
    text = "\n".join(line.text for line in runtime.logs(one.name))
    if one.cleanup:
        app.command(Command("remove", force=True), [one.name], runtime, settings)
    failed = {"failed": True, "msg": f"container {one.name} ended with exit code {code}"} if code else {}
    return {"status": code, "output": text, **failed}


def _inspected(wanted: Sequence[Wanted], runtime: Runtime) -> Mapping[str, Any]:
    """What is there of a single one. Of many nothing: it would cost more than the rest."""
    if len(wanted) != 1:
        return {}
    try:
        return {"container": dict(runtime.inspect(wanted[0].name))}
    except (NotFoundError, KeyError):
        return {"container": None}
