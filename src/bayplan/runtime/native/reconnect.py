"""Networks joined and left by a container that runs, and what it is then told of names."""

from __future__ import annotations

from collections.abc import Collection

from bayplan.errors import ConflictError, NotFoundError
from bayplan.models import Container, Endpoint, Resource
from bayplan.runtime.native.containers import Containers
from bayplan.runtime.native.networks import Networks
from bayplan.system.namespaces import NetworkNamespace


def reconnect(networks: Networks, containers: Containers, container_id: str, wanted: Container) -> None:
    """Bring links, addresses, ports and names of a container to its declared networks; its processes go on.

    What a verb has changed is forgotten. One that does not run only lets go of what it leaves. Raises ConflictError,
    RuntimeFailureError.
    """
    _bring(networks, containers, container_id, wanted)
    containers.records.set(container_id, joined="")


def _bring(networks: Networks, containers: Containers, container_id: str, wanted: Container) -> None:
    process = containers.process(container_id)
    netns = NetworkNamespace.of(process) if process else None
    try:
        attached = networks.reconnect(container_id, wanted.networks, wanted.ports, netns)
        if attached is not None:
            containers.retell(container_id, wanted, attached.own, attached.name_server)
            networks.names.write(container_id)
    finally:
        if netns:
            netns.close()


def connect(networks: Networks, containers: Containers, name: str, endpoint: Endpoint) -> None:
    """Put a container on one network more, beside its declaration.

    Raises ConflictError for one that is on it, has no networks of its own, or cannot have the address.
    """
    container_id, placed = _placed(containers, name)
    if endpoint.network in {one.network for one in placed.networks}:
        raise ConflictError(f"container {name} is on network {endpoint.network} already")
    wanted = placed.model_copy(update={"networks": (*placed.networks, endpoint)})
    networks.check_all([], [wanted])
    _move(networks, containers, container_id, wanted)
    containers.note(container_id, "connect", endpoint.network)


def disconnect(networks: Networks, containers: Containers, name: str, network: str, *, force: bool = False) -> None:
    """Take a container off a network, beside its declaration.

    Raises ConflictError for one that is not on it, and without ``force`` when its published ports would close.
    """
    container_id, placed = _placed(containers, name)
    if network not in {one.network for one in placed.networks}:
        raise ConflictError(f"container {name} is not on network {network}")
    wanted = placed.model_copy(update={"networks": tuple(one for one in placed.networks if one.network != network)})
    ports = networks.able(wanted)
    if placed.ports and not ports and not force:
        shown = ", ".join(str(port) for port in placed.ports)
        raise ConflictError(f"ports {shown} of container {name} would close", hint="-f closes them")
    _move(networks, containers, container_id, wanted.model_copy(update={"ports": ports}))
    containers.note(container_id, "disconnect", network)


def _placed(containers: Containers, name: str) -> tuple[str, Container]:
    container_id = containers.find(name)
    if container_id is None:
        raise NotFoundError(f"container {name} does not exist", hint="see `bayplan status`")
    placed = containers.placed(container_id)
    if placed.network_mode:
        raise ConflictError(f"container {name} has no networks: its network_mode is {placed.network_mode}")
    return container_id, placed


def _move(networks: Networks, containers: Containers, container_id: str, wanted: Container) -> None:
    """The intent first: what a kill leaves half done, the next plan shows and the next start makes whole."""
    containers.records.join(container_id, wanted.networks)
    _bring(networks, containers, container_id, wanted)


def joined(actual: Resource, networks: Collection[str]) -> Resource:
    """A running container as it is on networks, which a change that was cut leaves other than declared."""
    if not isinstance(actual, Container) or {one.network for one in actual.networks} == set(networks):
        return actual
    known = {one.network for one in actual.networks}
    kept = [one for one in actual.networks if one.network in networks]
    more = [Endpoint(network=name) for name in networks if name not in known]
    return actual.model_copy(update={"networks": (*kept, *more)})
