"""Whether the addresses that containers will ask for are there, asked before anything is changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv4Network

from bayplan.errors import ConflictError
from bayplan.models import Container, Endpoint, Network
from bayplan.runtime.native.networks.addresses import NETWORK_PREFIX, unusable
from bayplan.runtime.native.state import Database


def check(
    networks: Sequence[Network], containers: Sequence[Container], leaving: Collection[str], database: Database
) -> None:
    """Raise ConflictError for a network with too few addresses, or an address that cannot be given, naming its owner.

    What ``leaving`` (names) and containers of the same names hold now counts as free: they make room.
    """
    rows = {str(row["name"]): row for row in database.query("SELECT * FROM networks")}
    made = {network.name: network for network in networks}
    wanted: dict[str, list[tuple[Container, Endpoint]]] = defaultdict(list)
    for container in containers:
        for endpoint in container.networks:
            wanted[endpoint.network].append((container, endpoint))
    for name, asked in wanted.items():
        row = rows.get(name)
        network = made.get(name) or (Network.model_validate_json(row["declared"]) if row else None)
        if network is None:
            continue
        subnet = network.subnet or (IPv4Network(row["subnet"]) if row else None)
        held = _held(name, database, {*leaving, *(container.name for container in containers)})
        _check_network(network, subnet, asked, held)


def _held(network: str, database: Database, leaving: set[str]) -> dict[str, str]:
    """Addresses that stay leased, to the names of their owners."""
    rows = database.query(
        "SELECT l.address, c.name FROM leases l JOIN containers c ON c.id = l.owner WHERE l.network = ?", (network,)
    )
    return {str(row[0]): str(row[1]) for row in rows if str(row[1]) not in leaving}


def _check_network(
    network: Network, subnet: IPv4Network | None, asked: Sequence[tuple[Container, Endpoint]], held: dict[str, str]
) -> None:
    room = network.ip_range or subnet
    size = room.num_addresses if room else 1 << (IPv4Address(0).max_prefixlen - NETWORK_PREFIX)
    edges = unusable(network, subnet) if subnet else frozenset[IPv4Address]()
    usable = size - (sum(edge in room for edge in edges) if room and subnet else 3)
    if len(asked) + len(held) > usable:
        raise ConflictError(
            f"network {network.name} has {usable} addresses: {len(held)} are held, {len(asked)} more are wanted",
            hint="declare a larger subnet",
        )
    given = dict(held)
    for container, endpoint in asked:
        address = endpoint.ipv4_address
        if address is None:
            continue
        if subnet and address not in subnet:
            raise ConflictError(
                f"address {address} is not in {subnet} of network {network.name}", where=str(container.id)
            )
        if address in edges:
            raise ConflictError(
                f"address {address} of network {network.name} is the gateway's, an edge or in aux_addresses",
                where=str(container.id),
            )
        owner = given.setdefault(str(address), container.name)
        if owner != container.name:
            raise ConflictError(
                f"address {address} of network {network.name} is held by container {owner}", where=str(container.id)
            )
