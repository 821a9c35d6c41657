"""What is refused before any change: options that this swarm's engines cannot honour, names that are not there."""

from __future__ import annotations

import platform
from collections.abc import Collection, Sequence
from pathlib import Path

from bayplan.errors import ConflictError, NotFoundError, UnsupportedError
from bayplan.models import Kind, Resource, ResourceId
from bayplan.models.swarm import Config, OverlayNetwork, Service, SwarmNode
from bayplan.runtime.swarm.cluster import Cluster
from bayplan.runtime.swarm.kept import Kept
from bayplan.runtime.swarm.nodes import Nodes

_IPVS = Path("/proc/net/ip_vs")
_SINCE = {"healthcheck.start_interval": (1, 44)}
_RELEASES = {(1, 44): "Docker 25.0"}


def check(
    cluster: Cluster, kept: Kept, nodes: Nodes, resources: Sequence[Resource], removing: Collection[ResourceId]
) -> None:
    """Raise UnsupportedError, ConflictError, NotFoundError or DeclarationError naming resource and option."""
    declared = [one for one in resources if isinstance(one, SwarmNode)]
    nodes.check(declared, removing)
    if all(isinstance(one, SwarmNode) for one in resources):
        return
    services = [one for one in resources if isinstance(one, Service)]
    for resource in resources:
        if resource.kind in (Kind.CONTAINER, Kind.VOLUME):
            raise UnsupportedError(
                f"a swarm has no {resource.kind.value}s of its own", where=str(resource.id), hint="declare a service"
            )
        if isinstance(resource, Config):
            kept.check(resource)
    for service in services:
        _check_version(cluster, service)
        _check_addresses(cluster, service)
    _check_names(cluster, services, resources)
    _check_ports(cluster, services, removing)


def _check_version(cluster: Cluster, service: Service) -> None:
    api = tuple(int(part) for part in cluster.client.api_version.split("."))
    used = {"healthcheck.start_interval": service.healthcheck and service.healthcheck.start_interval}
    for option, needed in _SINCE.items():
        if used[option] and api < needed:
            raise UnsupportedError(
                f"docker {cluster.client.engine_version} cannot honour service.{option}",
                where=str(service.id),
                hint=f"it needs {_RELEASES[needed]}",
            )


def _check_addresses(cluster: Cluster, service: Service) -> None:
    """Virtual addresses are IPVS in the kernel of each node. That of this host can be known."""
    if not cluster.client.is_local or has_ipvs():
        return
    where, what = str(service.id), f"docker {cluster.client.engine_version} cannot honour service"
    if any(port.mode == "ingress" for port in service.ports):
        raise UnsupportedError(
            f"{what}.ports in mode ingress: the kernel of this host has no IPVS", where=where, hint="use mode: host"
        )
    if service.endpoint_mode == "vip" and any(one.network not in ("host", "none") for one in service.networks):
        raise UnsupportedError(
            f"{what}.endpoint_mode vip: the kernel of this host has no IPVS",
            where=where,
            hint="set deploy.endpoint_mode: dnsrr",
        )


def has_ipvs() -> bool:
    """Whether this kernel has IPVS, or a module of it that an engine would load (modprobe(8))."""
    if _IPVS.exists():
        return True
    modules = Path("/lib/modules", platform.release())
    for name in ("modules.builtin", "modules.dep"):
        try:
            if "/ip_vs.ko" in (modules / name).read_text():
                return True
        except OSError:
            continue
    return False


def _check_names(cluster: Cluster, services: Sequence[Service], resources: Sequence[Resource]) -> None:
    """Networks that services name are there or will be: the swarm would only say so half-way."""
    made = {one.name for one in resources if isinstance(one, OverlayNetwork)}
    there = {one["Name"]: one for one in cluster.networks()} if services else {}
    for service in services:
        for name in (one.network for one in service.networks if one.network not in made):
            found = there.get(name)
            if found is None:
                raise NotFoundError(f"network {name} does not exist", where=str(service.id))
            if found.get("Scope") != "swarm" and name not in ("host", "none", "bridge"):
                raise UnsupportedError(
                    f"network {name} is of one host", where=str(service.id), hint="services need an overlay network"
                )


def _check_ports(cluster: Cluster, services: Sequence[Service], removing: Collection[ResourceId]) -> None:
    """A port in mode ingress belongs to one service of the swarm."""
    wanted = [(one, port) for one in services for port in one.ports if port.published and port.mode == "ingress"]
    if not wanted:
        return
    free = {one.name for one in services} | {item.name for item in removing if item.kind is Kind.SERVICE}
    taken = {
        (port["PublishedPort"], port.get("Protocol", "tcp")): found["Spec"]["Name"]
        for found in cluster.services()
        if found["Spec"]["Name"] not in free
        for port in (found.get("Endpoint") or {}).get("Ports") or ()
        if port.get("PublishMode") == "ingress" and port.get("PublishedPort")
    }
    for service, port in wanted:
        owner = taken.setdefault((port.published, port.protocol), service.name)
        if owner != service.name:
            raise ConflictError(
                f"port {port.published}/{port.protocol} is that of service {owner}", where=str(service.id)
            )
