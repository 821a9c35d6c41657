"""Networks joined and left by a container that runs, and what it is then told of names."""

from __future__ import annotations

from collections.abc import Collection

from bayplan.models import Container, Endpoint, Resource
from bayplan.runtime.native.containers import Containers
from bayplan.runtime.native.networks import Networks
from bayplan.system.namespaces import NetworkNamespace


def reconnect(networks: Networks, containers: Containers, container_id: str, wanted: Container) -> None:
    """Bring links, addresses, ports and names of a container to its declared networks; its processes go on.

    One that does not run only lets go of what it leaves. Raises ConflictError, RuntimeFailureError.
    """
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


def joined(actual: Resource, networks: Collection[str]) -> Resource:
    """A running container as it is on networks, which a change that was cut leaves other than declared."""
    if not isinstance(actual, Container) or {one.network for one in actual.networks} == set(networks):
        return actual
    known = {one.network for one in actual.networks}
    kept = [one for one in actual.networks if one.network in networks]
    more = [Endpoint(network=name) for name in networks if name not in known]
    return actual.model_copy(update={"networks": (*kept, *more)})
