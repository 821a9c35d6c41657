"""What of an environment a drawing shows: services as declared and as they are, networks, volumes, what joins them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bayplan.models import Container, Kind, ResourceId, Stack, VolumeMount
from bayplan.reconcile.plan import Plan
from bayplan.runtime.protocol import Health, Observed, Snapshot, State


@dataclass
class Service:
    """One service, of what is declared and what is there."""

    name: str
    declared: list[Container] = field(default_factory=list)
    there: list[Observed] = field(default_factory=list)

    @property
    def containers(self) -> list[Container]:
        """As declared; as they are where nothing is."""
        return self.declared or [item.actual for item in self.there if isinstance(item.actual, Container)]


def services_of(snapshot: Snapshot, stack: Stack | None) -> list[Service]:
    """By name."""
    found: dict[str, Service] = {}

    def of(container: Container) -> Service:
        name = container.service or container.name
        return found.setdefault(name, Service(name))

    for container in stack.containers if stack else ():
        of(container).declared.append(container)
    for item in sorted(snapshot.of(Kind.CONTAINER), key=lambda one: one.id.name):
        if isinstance(item.actual, Container) and not item.superseded:
            of(item.actual).there.append(item)
    return sorted(found.values(), key=lambda item: item.name)


def names_of(kind: Kind, snapshot: Snapshot, stack: Stack | None) -> list[str]:
    """Of networks or volumes: declared ones, and those that are there."""
    declared = (item.name for item in (stack.resources() if stack else ()) if item.kind is kind)
    return sorted({*declared, *(item.id.name for item in snapshot.of(kind))})


def how(item: Service) -> str:
    """``running``, ``waiting``, ``broken`` or ``absent``."""
    if not item.there:
        return "absent"
    states = {one.status.state for one in item.there}
    if any(one.status.health is Health.UNHEALTHY for one in item.there) or any(one.defects for one in item.there):
        return "broken"
    if states <= {State.RUNNING}:
        return "waiting" if any(one.status.health is Health.STARTING for one in item.there) else "running"
    ended = [one.status for one in item.there if one.status.state is State.EXITED]
    done = all(status.exit_code == 0 or status.on_request for status in ended)
    return "waiting" if done else "broken"


def state(item: Service) -> str:
    """How many containers do what, such as ``2 running (healthy), 1 exited (137)``."""
    if not item.there:
        return "not there"
    counts: dict[str, int] = {}
    for one in item.there:
        status = one.status
        more = [status.health.value] if status.health is not Health.NONE else []
        more += [str(status.exit_code)] if status.exit_code is not None else []
        text = status.state.value + (f" ({', '.join(more)})" if more else "")
        counts[text] = counts.get(text, 0) + 1
    missing = len(item.declared) - len(item.there)
    parts = [f"{count} {text}" if len(item.containers) > 1 else text for text, count in sorted(counts.items())]
    return ", ".join([*parts, *([f"{missing} not there"] if missing > 0 else [])])


def ports(item: Service) -> list[str]:
    """Published ports: as they are, also those that the host chose; as declared where nothing runs."""
    live = {text for one in item.there for text in one.status.ports}
    shown = live or {str(port) for one in item.containers for port in one.ports}
    return sorted(shown)


def as_json(title: str, snapshot: Snapshot, stack: Stack | None = None, plan: Plan | None = None) -> dict[str, Any]:
    """What ``drawing.dot`` draws, as nodes and the edges between them, by the ids of the nodes."""
    services = services_of(snapshot, stack)
    actions = {step.resource: step.action.value for step in plan.steps} if plan else {}
    nodes: list[dict[str, Any]] = []
    for item in services:
        resources = {one.id: None for one in (*item.containers, *(there.actual for there in item.there))}
        planned = sorted({actions[one] for one in resources if one in actions})
        seen = {"image": item.containers[0].image, "state": state(item), "condition": how(item), "ports": ports(item)}
        nodes.append({"id": f"service {item.name}", "kind": "service", "name": item.name, **seen, "plan": planned})
    for kind in (Kind.NETWORK, Kind.VOLUME):
        for name in names_of(kind, snapshot, stack):
            one = ResourceId(kind=kind, name=name)
            planned = [actions[one]] if one in actions else []
            found = snapshot.get(one)
            defects = list(found.defects) if found else []
            there: dict[str, Any] = {"there": found is not None, "defects": defects, "plan": planned}
            nodes.append({"id": str(one), "kind": kind.value, "name": name, **there})
    known = {node["id"] for node in nodes}
    edges = [edge for item in services for edge in _edges(item) if edge["to"] in known]
    return {"title": title, "nodes": nodes, "edges": edges}


def _edges(item: Service) -> Iterator[dict[str, Any]]:
    """From a service to its networks, to its volumes, and to what it depends on or shares a network with."""
    begin, first = f"service {item.name}", item.containers[0]
    for name in dict.fromkeys(place.network for one in item.containers for place in one.networks):
        yield {"from": begin, "to": f"network {name}", "kind": "network"}
    mounts = {mount.source: mount for one in item.containers for mount in one.mounts if isinstance(mount, VolumeMount)}
    for name, mount in mounts.items():
        more: dict[str, Any] = {"target": mount.target, "read_only": mount.read_only}
        yield {"from": begin, "to": f"volume {name}", "kind": "volume", **more}
    for dependency in first.depends_on:
        waits = dependency.condition.value
        yield {"from": begin, "to": f"service {dependency.service}", "kind": "depends_on", "condition": waits}
