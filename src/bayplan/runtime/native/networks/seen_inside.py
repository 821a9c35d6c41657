"""Addresses and routes of a container as the kernel shows them: by proc(5), without entering its namespace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from sqlite3 import Row

from bayplan.models import Settings
from bayplan.runtime.native.networks.inside import Way
from bayplan.runtime.native.networks.places import inside_name, range_of
from bayplan.system.files import read_begin, read_if_there

_MOST_BYTES = 64 * 1024  # a container can write it


def lost(pid: int, rows: Sequence[Row], ways: Sequence[Way]) -> Iterator[str]:
    """Recorded addresses and ways out that are not there, as sentences. Nothing of a process that has ended."""
    top = f"/proc/{pid}/net"
    four = [row for row in rows if row["address"]]
    six = [row for row in rows if row["address6"]]
    trie = read_if_there(f"{top}/fib_trie") if four else b""
    routes = read_if_there(f"{top}/route") if four and trie else b""
    for row in four if trie else ():
        if not _is_local(trie, row["address"]):
            yield f"it lost its address {row['address']} on network {row['network']}"
        elif f"\n{inside_name(row)}\t".encode() not in routes:
            yield f"its link to network {row['network']} is down, or has lost its route"
        elif not _reaches(routes, inside_name(row), subnet := range_of(row, row["address"]).subnet):
            yield f"it lost its route to {subnet} on network {row['network']}"
    listed = read_if_there(f"{top}/if_inet6") if six else b""
    for row in six if listed else ():
        if IPv6Address(row["address6"]).packed.hex().encode() not in listed:
            yield f"it lost its address {row['address6']} on network {row['network']}"
    for way in ways:
        if way.gateway.version == 4:
            gone = bool(routes) and not _leaves(routes, way)
        else:
            gone = bool(listed) and not _leaves_v6(read_if_there(f"{top}/ipv6_route"), way)
        if gone:
            yield f"it lost its way out by {way.link or way.gateway}"


def asks(settings: Settings, container_id: str, server: str) -> bool:
    """Whether a container's resolv.conf names a server; what else is in it, it may have written itself."""
    held = read_begin(f"{settings.run_root}/containers/{container_id}/resolv.conf", _MOST_BYTES)
    return f"nameserver {server}\n".encode() in (held or b"")


def _is_local(trie: bytes, address: str) -> bool:
    """Whether a tree of routes has an address as the namespace's own (``/32 host LOCAL`` below its leaf)."""
    leaf = f"|-- {address}\n".encode()
    return any(part.split(b"|--")[0].find(b"/32 host LOCAL") >= 0 for part in trie.split(leaf)[1:])


def _reaches(routes: bytes, link: str, subnet: IPv4Network | IPv6Network) -> bool:
    """Whether a range is reached by a link of its own, without a gateway; one of a single address has no route."""
    target = subnet.network_address.packed[::-1].hex().upper()
    return subnet.prefixlen == subnet.max_prefixlen or f"\n{link}\t{target}\t00000000\t".encode() in routes


def _leaves(routes: bytes, way: Way) -> bool:
    """``Iface Destination Gateway ... Mask``, numbers in the byte order of the host."""
    assert isinstance(way.gateway, IPv4Address)
    gateway = way.gateway.packed[::-1].hex().upper().encode()
    rows = (line.split() for line in routes.splitlines()[1:])
    return any(
        row[1] == b"00000000" == row[7] and (row[0] == way.link.encode() if way.link else row[2] == gateway)
        for row in rows
        if len(row) > 7
    )


def _leaves_v6(routes: bytes, way: Way) -> bool:
    """``destination length source length next-hop metric refs used flags link``."""
    gateway, anywhere = way.gateway.packed.hex().encode(), b"0" * 32
    rows = (line.split() for line in routes.splitlines())
    return any(
        row[0] == anywhere and row[1] == b"00" and (row[9] == way.link.encode() if way.link else row[4] == gateway)
        for row in rows
        if len(row) > 9
    )
