"""What one service says of others: dependencies, shared namespaces; each named service is there and switched on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from bayplan.load.compose.links import linked
from bayplan.load.compose.nodes import Node, as_flag, as_list, as_map, as_text, check_keys, not_built, wrong
from bayplan.load.compose.validate import make
from bayplan.models import Container, Dependency
from bayplan.values import frozen

_EMPTY_MODES = ("none", "host")


@frozen
class References:
    """The services of a file: ``all``, those that profiles leave (``services``), and how many containers each has."""

    project: str
    all: Mapping[str, Node]
    services: Mapping[str, Node]
    counts: Mapping[str, int]

    def name(self, key: str, number: int) -> str:
        """The name of a service's container."""
        given = self.services[key].get("container_name")
        return as_text(given) if given else f"{self.project}-{key}-{number}"

    def check(self, place: Node, name: str) -> None:
        """Raise DeclarationError at the place for a service that has no container."""
        if name not in self.all:
            raise wrong(place, f"service {name!r} is not declared")
        if name not in self.services:
            raise wrong(place, f"service {name!r} is disabled by its profiles", hint="enable one with --profile")
        if not self.counts[name]:
            raise wrong(place, f"service {name!r} has no replicas")

    def network_mode(self, service: Node) -> str | None:
        """``network_mode``, a service's name as that of its first container. Raises DeclarationError."""
        mode = service.get("network_mode")
        if mode is None:
            return None
        text = as_text(mode)
        if service.get("networks"):
            raise wrong(mode, "network_mode and networks exclude each other")
        if text.startswith("service:"):
            return self.shared(service, "network_mode")
        if text in _EMPTY_MODES or (text.startswith("container:") and text != "container:"):
            return text
        raise not_built(mode, f"network_mode {text!r} is not built yet")

    def shared(self, service: Node, name: str) -> str:
        """``pid``, ``ipc`` ...: a service's name as that of its first container. Raises DeclarationError."""
        place = service.get(name) or service
        text = as_text(place)
        if not text.startswith("service:"):
            return text
        other = text.removeprefix("service:")
        self.check(place, other)
        return f"container:{self.name(other, 1)}"

    def dependencies(self, service: Node) -> tuple[Dependency, ...]:
        """Those of ``depends_on`` and those that other attributes imply. Raises DeclarationError."""
        found: dict[str, Dependency] = {}
        if given := service.get("depends_on"):
            for name, place in entries(given).items():
                dependency = _dependency(name, place)
                if not dependency.required and name not in self.services:
                    continue
                self.check(place, name)
                found[name] = dependency
        for key in ("network_mode", "pid", "ipc"):
            mode = service.get(key)
            if mode and as_text(mode).startswith("service:"):
                # The namespace's owner: re-creating it leaves this container without one, so it follows.
                name = as_text(mode).removeprefix("service:")
                self.check(mode, name)
                found.setdefault(name, Dependency(service=name, restart=True))
        for name, _, place in linked(service):
            self.check(place, name)
            found.setdefault(name, Dependency(service=name, restart=True))
        if others := service.get("volumes_from"):
            for item in as_list(others):
                name = as_text(item).partition(":")[0]
                if name in self.services:
                    found.setdefault(name, Dependency(service=name))
        return tuple(found.values())

    def check_cycle(self) -> None:
        """Raise DeclarationError for dependencies in a circle."""
        edges = {key: [one.service for one in self.dependencies(node)] for key, node in self.services.items()}
        try:
            TopologicalSorter(edges).prepare()
        except CycleError as error:
            circle = list(reversed(error.args[1]))
            path = " -> ".join(circle)
            raise wrong(self.services[circle[0]], f"depends_on forms a cycle: {path}", hint="remove one") from error

    def check_unique(self, containers: Sequence[Container]) -> None:
        """Raise DeclarationError for two containers of one name or host port."""
        names: dict[str, str] = {}
        ports: dict[tuple[str, int, str], str] = {}
        for one in containers:
            node = self.services[one.service]
            place = node.get("container_name") or node
            if one.name in names:
                raise wrong(place, f"container name {one.name!r} is also that of service {names[one.name]!r}")
            names[one.name] = one.service
            for port in one.ports:
                for host in () if port.chosen else port.hosts(ipv6=True):
                    key = (host, port.published, port.protocol)
                    if ports.get(key, one.service) != one.service:  # replicas share their service's ports
                        raise wrong(node.get("ports") or node, f"host port {port} is also published by {ports[key]!r}")
                    ports[key] = one.service


def entries(given: Node) -> Mapping[str, Node]:
    """``depends_on`` by the names in it, as a list or a map."""
    if isinstance(given.value, list):
        return {as_text(item): item.with_value(None) for item in as_list(given)}
    return as_map(given)


def _dependency(name: str, place: Node) -> Dependency:
    values: dict[str, Any] = {"service": name}
    if not place.is_null:
        check_keys(place, built={"condition", "restart", "required"})
        values |= {key: as_flag(one) for key in ("restart", "required") if (one := place.get(key))}
        if condition := place.get("condition"):
            values["condition"] = as_text(condition)
    return make(Dependency, place, values)
