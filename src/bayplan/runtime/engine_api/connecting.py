"""Containers put on networks and taken off them, every setting of their place given back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.models import Container, Endpoint
from bayplan.runtime.engine_api.answers import AbsentError, AnswerError
from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.runtime.engine_api.containers import Containers
from bayplan.runtime.engine_api.engine import Engine
from bayplan.runtime.engine_api.options.endpoints import settings
from bayplan.runtime.engine_api.options.shape import Shape


def connect(client: EngineClient, engine: Engine, container_id: str, endpoint: Endpoint) -> None:
    """Put it on a network."""
    body = {"Container": container_id, "EndpointConfig": settings(endpoint, engine)}
    with told(f"network {endpoint.network}"):
        client.call("POST", f"/networks/{endpoint.network}/connect", body=body)


def disconnect(client: EngineClient, container_id: str, network: str, *, force: bool = False) -> None:
    """Take it off a network; not being on it is no error with ``force``, nor is a network that is gone."""
    with told(f"network {network}"):
        try:
            client.call("POST", f"/networks/{network}/disconnect", body={"Container": container_id, "Force": force})
        except AnswerError:
            if not force:
                raise


def reconnect(containers: Containers, found: Mapping[str, Any], wanted: Container) -> None:
    """Bring the places of a container to what is wanted; those that are as they should be stay as they are."""
    container_id = str(found["Id"])
    shape = Shape.of_inspection(found, {}, containers.engine, {})
    option = containers.table["networks"]
    from bayplan.runtime.engine_api.options import written

    own = Shape.of_body(written(wanted, containers.engine, {}, containers.table))
    right = {one.network for one in option.settle(wanted.networks, own, shape) if one in wanted.networks}
    ids = {name: place.get("NetworkID") for name, place in shape.endpoints.items()}
    for name, network_id in ids.items():
        gone = network_id and name in right and not _is(containers, name, network_id)
        if name not in right or gone:
            right.discard(name)
            disconnect(containers.client, container_id, network_id or name, force=True)
    for endpoint in wanted.networks:
        if endpoint.network not in right:
            connect(containers.client, containers.engine, container_id, endpoint)


def _is(containers: Containers, name: str, network_id: str) -> bool:
    """Whether the network of that name is the one it was."""
    with told(f"network {name}"):
        try:
            return bool(containers.client.call("GET", f"/networks/{name}")["Id"] == network_id)
        except AbsentError:
            return False
