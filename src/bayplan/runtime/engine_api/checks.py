"""What is refused before any change: an option that the engine cannot honour, a thing that is missing or in the way."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from bayplan.errors import ConflictError, InUseError, NotFoundError, UnsupportedError
from bayplan.models import BindMount, Container, Kind, Network, Resource, ResourceId, VolumeMount
from bayplan.runtime import start_first
from bayplan.runtime.engine_api import options
from bayplan.runtime.engine_api.engine import Engine
from bayplan.runtime.engine_api.options import networks
from bayplan.runtime.engine_api.options.option import Gap, Option

Listed = Sequence[Mapping[str, Any]]
Range = IPv4Network | IPv6Network
_SHORTEST_NAME = 2


def check(
    resources: Sequence[Resource],
    removing: Collection[ResourceId],
    engine: Engine,
    there: Mapping[Kind, Listed],
    table: Mapping[str, Option] = options.TABLE,
) -> None:
    """Raise the first reason against making ``resources`` and ``removing`` others.

    ``there`` is what the engine lists: containers, networks, volumes.
    """
    containers = [one for one in resources if isinstance(one, Container)]
    made = [one for one in resources if isinstance(one, Network)]
    for resource in resources:
        for option, reason in _gaps(resource, engine, table):
            raise UnsupportedError(
                f"{engine.name} cannot honour {option}: {reason}", where=str(resource.id), hint="remove the option"
            )
    leaving = {one.name for one in removing if one.kind is Kind.CONTAINER}
    _check_removals(removing, leaving, containers, there)
    _check_ranges(made, [one for one in there[Kind.NETWORK] if one["Name"] not in {new.name for new in made}])
    names = {
        kind: {*(str(one["Name"]) for one in there[kind]), *(one.name for one in resources if one.kind is kind)}
        for kind in (Kind.NETWORK, Kind.VOLUME)
    }
    listed = {name: one for one in there[Kind.CONTAINER] for name in names_of(one)}
    for container in containers:
        start_first.check(container, engine.name, shares_ports=False)
        _check_named(container, names, {*listed, *(one.name for one in containers)})
        if engine.local:
            _check_files(container)
    _check_ports(containers, listed, leaving)


def names_of(listed: Mapping[str, Any]) -> list[str]:
    """Names of a listed container; those that links of other containers gave it have a slash inside."""
    return [name.lstrip("/") for name in listed.get("Names") or () if "/" not in name.lstrip("/")]


def _gaps(resource: Resource, engine: Engine, table: Mapping[str, Option]) -> Iterator[Gap]:
    if len(resource.name) < _SHORTEST_NAME and resource.kind in (Kind.CONTAINER, Kind.VOLUME):
        yield f"{resource.kind.value}.name", f"it takes no name shorter than {_SHORTEST_NAME} characters"
    if isinstance(resource, Container):
        yield from ((f"container.{name}", why) for name, why in options.gaps(resource, engine, table))
    elif isinstance(resource, Network):
        yield from networks.gaps(resource, engine)


def _check_removals(
    removing: Collection[ResourceId],
    leaving: Collection[str],
    changing: Sequence[Container],
    there: Mapping[Kind, Listed],
) -> None:
    """Data and networks that others use stay; containers that are ``changing`` may leave a network with that."""
    on = {one.name: {place.network for place in one.networks} for one in changing}
    used = {Kind.VOLUME: _volumes_of, Kind.NETWORK: _networks_of}
    for item in removing:
        if item.kind not in used:
            continue
        of = used[item.kind]
        users = [name for one in there[Kind.CONTAINER] if item.name in of(one) for name in names_of(one)[:1]]
        if item.kind is Kind.NETWORK:
            users = [name for name in users if name not in on or item.name in on[name]]
        staying = sorted(name for name in users if name not in leaving)
        if staying:
            raise InUseError(f"{item} is used by containers {', '.join(staying)}", hint="remove those first")


def _volumes_of(listed: Mapping[str, Any]) -> Collection[str]:
    return [mount.get("Name", "") for mount in listed.get("Mounts") or () if mount.get("Type") == "volume"]


def _networks_of(listed: Mapping[str, Any]) -> Collection[str]:
    return (listed.get("NetworkSettings") or {}).get("Networks") or ()


def _check_ranges(made: Sequence[Network], others: Listed) -> None:
    taken: list[tuple[Range, str]] = [
        (ip_network(pool["Subnet"], strict=False), str(other["Name"]))
        for other in others
        for pool in (other.get("IPAM") or {}).get("Config") or ()
        if pool.get("Subnet")
    ]
    for network in made:
        if not network.bridged:
            continue  # links on a parent may share its range
        for subnet in (network.subnet, network.ipv6_subnet):
            if subnet is None:
                continue
            for other, owner in taken:
                if other.version == subnet.version and other.overlaps(subnet):
                    raise ConflictError(
                        f"subnet {subnet} overlaps {other} of network {owner}",
                        where=str(network.id),
                        hint="choose another range",
                    )
            taken.append((subnet, network.name))


def _check_named(container: Container, names: Mapping[Kind, Collection[str]], containers: Collection[str]) -> None:
    wanted = {
        Kind.NETWORK: [endpoint.network for endpoint in container.networks],
        Kind.VOLUME: [one.source for one in container.mounts if isinstance(one, VolumeMount) and not one.of_image],
    }
    for kind, used in wanted.items():
        for name in used:
            if name not in names[kind]:
                raise NotFoundError(
                    f"{kind.value} {name} does not exist",
                    where=str(container.id),
                    hint="declare it, or correct the name",
                )
    for field in ("network_mode", "pid", "ipc"):
        kind_of, _, owner = (getattr(container, field) or "").partition(":")
        if kind_of == "container" and owner not in containers:
            raise NotFoundError(
                f"{field} of container {owner} is shared, and it does not exist",
                where=str(container.id),
                hint="declare it, or correct the name",
            )


def _check_files(container: Container) -> None:
    """Files of this host that a container is made from."""
    for mount in container.mounts:
        if isinstance(mount, BindMount) and not (mount.create_host_path or Path(mount.source).exists()):
            raise NotFoundError(f"bind source {mount.source} does not exist", where=str(container.id), hint="create it")
    for text in container.security_opt:
        path = text.replace(":", "=", 1).partition("=")[2]
        if text.startswith("seccomp") and path.startswith("/"):
            try:
                json.loads(Path(path).read_text())
            except (OSError, ValueError) as error:
                raise NotFoundError(
                    f"seccomp profile {path} cannot be read: {error}", where=str(container.id), hint="correct the path"
                ) from error
    for grant in (*container.secrets, *container.configs):
        if grant.lacks_content:
            raise NotFoundError(
                f"{grant.source} has no content: its variable is not set, or its file cannot be read",
                where=str(container.id),
                hint="set the variable, or make the file",
            )


def _check_ports(
    containers: Sequence[Container], listed: Mapping[str, Mapping[str, Any]], leaving: Collection[str]
) -> None:
    """Fixed ports of the host that another container has, or two of these want."""
    changing = {one.name for one in containers} | set(leaving)
    held: dict[tuple[int, str], list[tuple[str, str]]] = {}
    for name, one in listed.items():
        if name in changing:
            continue
        for port in one.get("Ports") or ():
            if port.get("PublicPort"):
                held.setdefault((port["PublicPort"], port.get("Type", "tcp")), []).append((port.get("IP") or "", name))
    for container in containers:
        for port in container.ports:
            if port.chosen:
                continue
            address = str(port.host_ip or "")
            for other, owner in held.get((port.published, port.protocol), ()):
                if owner != container.name and _meet(address, other):
                    raise ConflictError(
                        f"port {port.published}/{port.protocol} is taken by {owner}",
                        where=str(container.id),
                        hint="publish another port",
                    )
            held.setdefault((port.published, port.protocol), []).append((address, container.name))


def _meet(one: str, other: str) -> bool:
    """Whether two addresses of the host cannot have one port each."""
    every = {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    if "" in (one, other) or one == other:
        return True
    return (":" in one) == (":" in other) and bool({one, other} & every)
