"""One service of a swarm from its attributes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayplan.load.compose.endpoints import wanted
from bayplan.load.compose.mounts import MountReader
from bayplan.load.compose.nodes import Node, as_list, as_map, as_text, check_keys, not_built, text_map, texts, wrong
from bayplan.load.compose.ports import ports_of
from bayplan.load.compose.references import entries
from bayplan.load.compose.resources import final_name
from bayplan.load.compose.swarm import keys
from bayplan.load.compose.validate import make
from bayplan.models import BindMount, Mount, TmpfsMount, VolumeMount, labels
from bayplan.models.swarm import LogDriver, ServiceMount, ServiceNetwork, ServicePort, ServiceVolume

_log = logging.getLogger("bayplan.load")
_HOST_NETWORKS = ("host", "none")


@dataclass(frozen=True)
class Names:
    """The declared networks and volumes of a file, and its project."""

    project: str
    networks: Mapping[str, Node]
    volumes: Mapping[str, Node]


def networks(service: Node, key: str, names: Names) -> tuple[ServiceNetwork, ...]:
    """The networks of the tasks, by name; each service is found by its key there. Raises DeclarationError."""
    if mode := service.get("network_mode"):
        if service.get("networks"):
            raise wrong(mode, "network_mode and networks exclude each other")
        if as_text(mode) not in _HOST_NETWORKS:
            raise wrong(mode, "tasks of a swarm share no other container's network", hint="host or none, or networks")
        return (ServiceNetwork(network=as_text(mode)),)
    found = []
    for name, place in wanted(service).items():
        node = names.networks.get(name)
        if node is None and name != "default":
            raise wrong(place, f"network {name!r} is not declared", hint="add it under the top-level networks")
        final = final_name(node, name, names.project)
        values: dict[str, Any] = {"network": final}
        if not place.is_null:
            check_keys(place, built=keys.ENDPOINT, known=keys.ENDPOINT_REFUSED)
            values["driver_opts"] = text_map(place.get("driver_opts"))
        if final not in _HOST_NETWORKS:
            given = place.get("aliases")
            values["aliases"] = tuple(dict.fromkeys([*(texts(given) if given else ()), key]))
        found.append(make(ServiceNetwork, place, values))
    return tuple(sorted(found, key=lambda one: one.network))


def ports(node: Node | None) -> tuple[ServicePort, ...]:
    """``ports``; in mode ingress unless the long form says host. Raises DeclarationError."""
    found: dict[str, ServicePort] = {}
    for item in as_list(node) if node else ():
        mode = item.get("mode")
        for port in ports_of(item):
            if port.host_ip is not None:
                raise wrong(item, "a swarm publishes ports on every address of its nodes", hint="remove the address")
            if port.last is not None:
                raise wrong(item, "a swarm publishes no range for one port", hint="name one port, or none")
            values = {"target": port.target, "published": port.published, "protocol": port.protocol}
            made = make(ServicePort, item, {**values, "mode": as_text(mode) if mode else "ingress"})
            found[str(made)] = made
    return tuple(found.values())


def mounts(service: Node, reader: MountReader, names: Names) -> tuple[ServiceMount, ...]:
    """Volumes, binds and tmpfs as each node has them. Raises DeclarationError."""
    places = {final_name(node, key, names.project): node for key, node in names.volumes.items()}
    return tuple(_mount(item, service, places, names.project) for item in reader.read(service))


def _mount(mount: Mount, service: Node, places: Mapping[str, Node], project: str) -> ServiceMount:
    place = service.get("volumes") or service
    if isinstance(mount, BindMount):
        if mount.create_host_path:
            raise wrong(place, f"nodes make no directory {mount.source} (create_host_path)", hint="use a volume")
        if mount.recursive != "enabled":
            raise wrong(place, f"a service of a swarm has no bind.recursive: {mount.recursive}", hint="remove it")
        return mount
    if isinstance(mount, TmpfsMount):
        if mount.noexec or mount.uid is not None or mount.gid is not None:
            raise wrong(service.get("tmpfs") or place, "tmpfs of a swarm has size and mode alone", hint="remove others")
        return mount
    if not isinstance(mount, VolumeMount):
        raise wrong(place, "a service of a swarm mounts no images", hint="use a volume")
    if mount.subpath is not None:
        raise not_built(place, "parts of volumes in a swarm are not built yet")
    common = {"target": mount.target, "read_only": mount.read_only, "nocopy": mount.nocopy}
    node = places.get(mount.source)
    if node is None:  # nobody named it: each task has one of its own
        return ServiceVolume(**common)
    return make(ServiceVolume, node, {**common, "source": mount.source, **_volume(node, project)})


def _volume(node: Node, project: str) -> dict[str, Any]:
    """How a node makes the volume; nothing of one that is there already."""
    if node.is_null:
        return {"labels": {labels.STACK: project}}
    check_keys(node, built={"driver", "driver_opts", "external", "labels", "name"})
    if node.get("external"):
        return {}
    values: dict[str, Any] = {"labels": {labels.STACK: project, **text_map(node.get("labels"))}}
    if driver := node.get("driver"):
        values["driver"] = as_text(driver)
    if options := node.get("driver_opts"):
        values["driver_opts"] = {name: as_text(value) for name, value in as_map(options).items()}
    return values


def log_driver(node: Node) -> LogDriver:
    """``logging``, whatever driver the nodes have. Raises DeclarationError."""
    check_keys(node, built={"driver", "options"})
    driver = node.get("driver")
    return make(
        LogDriver, node, {"driver": as_text(driver) if driver else "", "options": text_map(node.get("options"))}
    )


def dependencies(node: Node, services: Sequence[str]) -> tuple[str, ...]:
    """``depends_on``: services that run before this one is made. Raises DeclarationError."""
    found = []
    for name, place in entries(node).items():
        condition = None if place.is_null else place.get("condition")
        if condition and as_text(condition) == "service_completed_successfully":
            raise wrong(condition, "a service of a swarm does not end", hint="service_started or service_healthy")
        if name not in services:
            raise wrong(place, f"service {name!r} is not declared")
        found.append(name)
    return tuple(found)
