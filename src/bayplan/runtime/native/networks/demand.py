"""Whether the addresses that containers will ask for are there, asked before anything is changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from bayplan.errors import ConflictError
from bayplan.models import Container, Endpoint, Network
from bayplan.runtime.native.networks.addresses import NETWORK_PREFIX, ranges, ranges_v6, unusable, unusable_v6
from bayplan.runtime.native.state import Database

_NETWORKS = "SELECT name, declared FROM networks"
_USERS = "SELECT c.name FROM endpoints e JOIN containers c ON c.id = e.container_id WHERE e.network = ?"


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
        _check_driver(network, asked, database)
        subnet = network.subnet or (IPv4Network(row["subnet"]) if row and row["subnet"] else None)
        held = _held(name, database, {*leaving, *(container.name for container in containers)})
        if network.enable_ipv4:
            _check_network(network, subnet, asked, held)
        subnet6 = network.ipv6_subnet or (IPv6Network(row["subnet6"]) if row and row["subnet6"] else None)
        _check_v6(network, subnet6, asked, held)


def _check_driver(network: Network, asked: Sequence[tuple[Container, Endpoint]], database: Database) -> None:
    """What the driver of a network cannot give."""
    for container, endpoint in asked:
        where = str(container.id)
        if endpoint.mac_address and not network.has_macs:
            raise ConflictError(
                f"containers of network {network.name} have the MAC address of {network.parent}",
                where=where,
                hint="remove mac_address, or use macvlan in mode bridge",
            )
        if endpoint.ipv4_address and not network.enable_ipv4:
            what = f"address {endpoint.ipv4_address} is IPv4, which network {network.name} has not"
            raise ConflictError(what, where=where, hint="remove ipv4_address, or enable_ipv4: false of the network")
        six = next((one for one in endpoint.link_local_ips if one.version == 6), None)
        if six and not network.enable_ipv6:
            raise ConflictError(f"{six} is IPv6, which network {network.name} has not", where=where, hint="enable_ipv6")
    if network.mode == "passthru":
        users = {str(row[0]) for row in database.query(_USERS, (network.name,))}
        users |= {container.name for container, _ in asked}
        if len(users) > 1:
            raise ConflictError(f"network {network.name} is passthru, for one container: {', '.join(sorted(users))}")


def check_ports(networks: Sequence[Network], containers: Sequence[Container], database: Database) -> None:
    """Raise ConflictError for ports that no network of their container can publish."""
    known = {str(row["name"]): Network.model_validate_json(row["declared"]) for row in database.query(_NETWORKS)}
    known |= {network.name: network for network in networks}
    for container in containers:
        own = [known[one.network] for one in container.networks if one.network in known]
        if container.ports and own and not any(one.bridged and not one.internal for one in own):
            shown = ", ".join(f"{one.name} ({'internal' if one.internal else one.driver})" for one in own)
            raise ConflictError(
                f"port {container.ports[0]} cannot be published from {shown}",
                where=str(container.id),
                hint="add a bridge network that is not internal, or remove ports",
            )


def _held(network: str, database: Database, leaving: set[str]) -> dict[str, str]:
    """Addresses that stay leased, to the names of their owners."""
    rows = database.query(
        "SELECT l.address, c.name FROM leases l JOIN containers c ON c.id = l.owner WHERE l.network = ?", (network,)
    )
    return {str(row[0]): str(row[1]) for row in rows if str(row[1]) not in leaving}


def _check_network(
    network: Network, subnet: IPv4Network | None, asked: Sequence[tuple[Container, Endpoint]], held: dict[str, str]
) -> None:
    rooms = [one.ip_range or one.subnet for one in ranges(network, subnet)] if subnet else []
    edges = unusable(network, subnet) if subnet else frozenset[IPv4Address]()
    usable = _free(rooms, edges) if rooms else (1 << (IPv4Address(0).max_prefixlen - NETWORK_PREFIX)) - 3
    known = sum(":" not in address for address in held)
    if len(asked) + known > usable:
        raise ConflictError(
            f"network {network.name} has {usable} addresses: {known} are held, {len(asked)} more are wanted",
            hint="declare a larger subnet",
        )
    given = dict(held)
    for container, endpoint in asked:
        address = endpoint.ipv4_address
        if address is None:
            continue
        subnets = [one.subnet for one in ranges(network, subnet)] if subnet else []
        _check_address(network, subnets, edges, (container, address), given)


def _free(rooms: Sequence[IPv4Network | IPv6Network], edges: Collection[IPv4Address | IPv6Address]) -> int:
    return sum(room.num_addresses - sum(edge in room for edge in edges) for room in rooms)


def _check_v6(
    network: Network, subnet: IPv6Network | None, asked: Sequence[tuple[Container, Endpoint]], held: dict[str, str]
) -> None:
    edges = unusable_v6(network, subnet) if subnet else frozenset[IPv6Address]()
    given = {address: owner for address, owner in held.items() if ":" in address}
    parts = ranges_v6(network, subnet) if subnet else []
    if parts and len(asked) + len(given) > _free([one.ip_range or one.subnet for one in parts], edges):
        raise ConflictError(f"network {network.name} has too few IPv6 addresses", hint="declare a larger subnet")
    for container, endpoint in asked:
        if endpoint.ipv6_address is None:
            continue
        if not network.enable_ipv6:
            raise ConflictError(
                f"address {endpoint.ipv6_address} is IPv6, which network {network.name} has not",
                where=str(container.id),
                hint="set enable_ipv6 on the network",
            )
        known = [one.subnet for one in parts]
        _check_address(network, known, edges, (container, endpoint.ipv6_address), given)


def _check_address(
    network: Network,
    subnets: Sequence[IPv4Network | IPv6Network],
    edges: Collection[IPv4Address | IPv6Address],
    asked: tuple[Container, IPv4Address | IPv6Address],
    given: dict[str, str],
) -> None:
    """``given`` are addresses and their owners; it is added to."""
    container, address = asked
    if subnets and not any(address in one for one in subnets):
        shown = ", ".join(map(str, subnets))
        raise ConflictError(f"address {address} is not in {shown} of network {network.name}", where=str(container.id))
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
