"""Address ranges and addresses. A primary key makes a doubly given address impossible."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import chain
from pathlib import Path
from socket import inet_ntoa
from typing import NoReturn

from bayplan.errors import ConflictError
from bayplan.models import Network, Settings
from bayplan.models.network import AddressRange

NETWORK_PREFIX = 24
"""Prefix length of a network that declares no subnet."""


_PREFIX_V6 = 64
_MACHINE_ID = Path("/etc/machine-id")


def choose_subnet(pool: IPv4Network, taken: Iterable[IPv4Network]) -> IPv4Network:
    """The first /24 of the pool that overlaps nothing. Raises ConflictError when the pool is full."""
    held = tuple(taken)
    for candidate in pool.subnets(new_prefix=max(NETWORK_PREFIX, pool.prefixlen)):
        if not any(candidate.overlaps(other) for other in held):
            return candidate
    raise ConflictError(f"no free range is left in the address pool {pool}", hint="set address_pool to a larger one")


def pool_v6(settings: Settings) -> IPv6Network:
    """The range of networks that declare no IPv6 subnet: the setting, or a unique local /48 of this host and core.

    RFC 4193, section 3.2.2: a global ID must be hard to meet twice; made of machine-id(5), it is the same each time.
    """
    if settings.address_pool_v6 is not None:
        return settings.address_pool_v6
    seed = _MACHINE_ID.read_bytes() if _MACHINE_ID.exists() else b""
    number = hashlib.sha256(b"bayplan" + seed + bytes(settings.state_root)).digest()[:5]
    return IPv6Network((b"\xfd" + number + bytes(10), 48))


def choose_subnet_v6(pool: IPv6Network, taken: Iterable[IPv6Network]) -> IPv6Network:
    """The first /64 of the pool that overlaps nothing. Raises ConflictError when the pool is full."""
    held = tuple(taken)
    for candidate in pool.subnets(new_prefix=max(_PREFIX_V6, pool.prefixlen)):
        if not any(candidate.overlaps(other) for other in held):
            return candidate
    raise ConflictError(f"no free range is left in the address pool {pool}", hint="set address_pool_v6 to a larger one")


def gateway_v6_of(network: Network, subnet: IPv6Network) -> IPv6Address:
    """The bridge's own IPv6 address: the declared one, or the first."""
    return network.ipv6_gateway or subnet[1]


def gateway_of(network: Network, subnet: IPv4Network) -> IPv4Address:
    """The bridge's own address: the declared one, or the first."""
    return network.gateway or subnet.network_address + 1


def ranges(network: Network, subnet: IPv4Network) -> list[AddressRange]:
    """The IPv4 ranges of a network, each with its gateway; ``subnet`` is the first."""
    first = AddressRange(subnet=subnet, gateway=gateway_of(network, subnet), ip_range=network.ip_range)
    return [first, *(one for one in network.further_ranges if one.subnet.version == 4)]


def ranges_v6(network: Network, subnet: IPv6Network) -> list[AddressRange]:
    """The same of IPv6."""
    first = AddressRange(subnet=subnet, gateway=gateway_v6_of(network, subnet), ip_range=network.ipv6_range)
    return [first, *(one for one in network.further_ranges if one.subnet.version == 6)]


def unusable(network: Network, subnet: IPv4Network) -> frozenset[IPv4Address]:
    """Nobody's addresses: each range's own, broadcast, the gateways, and those that others have."""
    known = ranges(network, subnet)
    edges = [edge for one in known for edge in (one.subnet[0], one.subnet[-1], one.way)]
    return frozenset(item for item in (*edges, *network.aux_addresses.values()) if isinstance(item, IPv4Address))


def unusable_v6(network: Network, subnet: IPv6Network) -> frozenset[IPv6Address]:
    """The same of IPv6: the routers' anycast address (RFC 4291, 2.6.1), the gateway, and those that others have."""
    edges = [edge for one in ranges_v6(network, subnet) for edge in (one.subnet[0], one.way)]
    return frozenset(item for item in (*edges, *network.aux_addresses.values()) if isinstance(item, IPv6Address))


def lease(
    tx: sqlite3.Connection,
    network: Network,
    subnet: IPv4Network,
    owner: str,
    wanted: IPv4Address | None,
    *,
    name: str = "",
) -> IPv4Address:
    """Give ``owner`` an address inside a transaction: the wanted one, else the lowest that is free.

    A container called ``name`` gets what the last one of that name had here, if it is free, and others get it only when
    nothing else is left: programs look a peer up once and keep its address (nginx does), also over a replacement.

    Raises ConflictError naming the holder, or the network that is full.
    """
    if wanted is not None:
        key = (network.name, str(wanted))
        holder = tx.execute("SELECT owner FROM leases WHERE network = ? AND address = ?", key).fetchone()
        if holder and holder[0] != owner:
            raise ConflictError(f"address {wanted} of network {network.name} is held by {_shown(tx, holder[0])}")
        chosen = wanted
    else:
        chosen = next(_offers(tx, network, subnet, name), None) or _full(network)
    tx.execute(
        "INSERT OR REPLACE INTO leases (network, address, owner) VALUES (?, ?, ?)", (network.name, str(chosen), owner)
    )
    if name:
        tx.execute("INSERT OR REPLACE INTO last_addresses VALUES (?, ?, ?)", (network.name, name, str(chosen)))
    return chosen


def lease_v6(
    tx: sqlite3.Connection,
    network: Network,
    subnet: IPv6Network,
    owner: str,
    wanted: IPv6Address | None,
    *,
    number: int,
    name: str = "",
) -> IPv6Address:
    """Give ``owner`` an IPv6 address inside a transaction: the wanted one, else that of its ``number`` in the range.

    The number is that of its IPv4 address in its subnet, so that both stay over a replacement; the next free one when
    somebody has it. Without IPv4 a container called ``name`` gets what the last one of that name had, as in ``lease``.
    Raises ConflictError naming the holder, or the network that is full.
    """
    rows = tx.execute("SELECT address, owner FROM leases WHERE network = ?", (network.name,)).fetchall()
    held = {str(row[0]): str(row[1]) for row in rows}
    if wanted is not None:
        holder = held.get(str(wanted))
        if holder and holder != owner:
            raise ConflictError(f"address {wanted} of network {network.name} is held by {_shown(tx, holder)}")
        chosen = wanted
    else:
        found = tx.execute("SELECT container, address FROM last_addresses WHERE network = ?", (network.name,))
        # Of a network that had IPv4 before, the last addresses are of that.
        last = {str(one): str(address) for one, address in found if ":" in address} if name else {}
        own = [IPv6Address(last[name])] if name in last and last[name] not in held else []
        parts, edges = ranges_v6(network, subnet), unusable_v6(network, subnet)
        own = [item for item in own if any(item in part.subnet for part in parts)]
        known = edges | {IPv6Address(one) for one in held if ":" in one}
        spared = known | {IPv6Address(one) for one in last.values()}
        free = (one for each in (spared, known) for part in parts for one in _free_v6(part, each, number))
        chosen = next(chain(own, free), None) or _full(network)
    tx.execute(
        "INSERT OR REPLACE INTO leases (network, address, owner) VALUES (?, ?, ?)", (network.name, str(chosen), owner)
    )
    if name:
        tx.execute("INSERT OR REPLACE INTO last_addresses VALUES (?, ?, ?)", (network.name, name, str(chosen)))
    return chosen


def mac_of(address: IPv4Address | IPv6Address) -> str:
    """A locally administered MAC made from the address: unique on its network, the same after a reboot."""
    own = address.packed if address.version == 4 else hashlib.sha256(address.packed).digest()[:4]
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x42, *own))


def _offers(tx: sqlite3.Connection, network: Network, subnet: IPv4Network, name: str) -> Iterator[IPv4Address]:
    """Addresses that a container called ``name`` may have, in the order of ``lease``."""
    held, last = _listed(tx, "leases", network.name), _listed(tx, "last_addresses", network.name)
    key = (network.name, name)
    own = tx.execute("SELECT address FROM last_addresses WHERE network = ? AND container = ?", key).fetchone()
    # That of a network which had IPv6 alone before is none of these.
    if own and ":" not in own[0] and own[0] not in held and _holds(network, subnet, IPv4Address(own[0])):
        yield IPv4Address(own[0])
    yield from _candidates(network, subnet, held | last)
    yield from _candidates(network, subnet, held)


def _listed(tx: sqlite3.Connection, table: str, network: str) -> set[str]:
    """The addresses that a table has of a network, as one text: a row for each would take longest of a lease."""
    sql = f"SELECT group_concat(address) FROM {table} WHERE network = ?"  # noqa: S608 - our own names
    return set((tx.execute(sql, (network,)).fetchone()[0] or "").split(","))


def _candidates(network: Network, subnet: IPv4Network, known: set[str]) -> Iterator[IPv4Address]:
    """Addresses that are not ``known``, lowest first. An object for each that is held would take longest of a lease."""
    known = known.union(str(item) for item in unusable(network, subnet))
    for part in ranges(network, subnet):
        allowed = part.ip_range or part.subnet
        numbers = range(int(allowed[0]), int(allowed[-1]) + 1)
        yield from (IPv4Address(item) for item in numbers if inet_ntoa(item.to_bytes(4, "big")) not in known)


def _free_v6(part: AddressRange, known: Collection[IPv6Address], number: int) -> Iterator[IPv6Address]:
    """Addresses of a range that are not ``known``, beginning at a number of it."""
    room = part.ip_range or part.subnet
    # Of more than are held or nobody's, one at least is free.
    tries = min(room.num_addresses, len(known) + 1)
    begin = number % room.num_addresses
    for step in range(tries):
        address = room[(begin + step) % room.num_addresses]
        if isinstance(address, IPv6Address) and address not in known:
            yield address


def _holds(network: Network, subnet: IPv4Network, address: IPv4Address) -> bool:
    return any(address in part.subnet for part in ranges(network, subnet))


def _full(network: Network) -> NoReturn:
    raise ConflictError(f"network {network.name} has no free address left", hint="declare a larger subnet")


def _shown(tx: sqlite3.Connection, owner: str) -> str:
    row = tx.execute("SELECT name FROM containers WHERE id = ?", (owner,)).fetchone()
    return f"container {row[0]}" if row else owner
