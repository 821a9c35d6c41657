"""A container's end of its links: what is put there before anything runs in its namespace."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import field
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import TypeVar

from bayplan.runtime.native.networks import netlink
from bayplan.system.files import write_kernel_file
from bayplan.system.namespaces import NetworkNamespace
from bayplan.values import frozen

SYSCTL = "/proc/sys/net"
"""Settings of IPv6 are absent where it is off."""
BUSY = (errno.EBUSY, errno.EADDRINUSE)
_BUSY_S, _POLL_S = 3.0, 0.02
T = TypeVar("T")


@frozen
class Place:
    """One link of a container: its end on the host and the bridge there, its end inside, MAC and addresses.

    With a ``driver`` other than bridge there is no end on the host, only a link ``parent`` there that it goes out by.
    """

    host_name: str
    bridge: str
    name: str
    mac: str
    address: IPv4Address | None
    length: int
    address6: IPv6Address | None = None
    """None: the link has no IPv6 at all. One of the two families is there."""
    length6: int = 0
    driver: str = "bridge"
    parent: str = ""
    mode: str = ""
    mtu: int | None = None
    isolated: bool = False
    """Reaches no other isolated link of its bridge."""
    further: tuple[IPv4Address | IPv6Address, ...] = ()
    """Link-local addresses beside its own."""
    sysctls: dict[str, str] = field(default_factory=dict)

    @property
    def bridged(self) -> bool:
        """Whether it has an end on a bridge of the host."""
        return self.driver == "bridge"


@frozen
class Way:
    """The way out of one family: a gateway, or, where links have none, the link of that name inside."""

    gateway: IPv4Address | IPv6Address
    link: str = ""


def prepare_inside() -> None:
    """Settings of a new network namespace, before any link is in it: no IPv6 unless asked for."""
    write_kernel_file(f"{SYSCTL}/ipv6/conf/all/accept_ra", "0")
    write_kernel_file(f"{SYSCTL}/ipv6/conf/default/disable_ipv6", "1")


def configure_inside(
    netns: NetworkNamespace, places: Sequence[Place], ways: Sequence[Way], *, again: bool = False
) -> None:
    """Loopback up, each link with its addresses up, the default routes.

    ``again``: also what came with an address that is still there.
    """

    def enter() -> tuple[socket.socket, dict[str, int]]:
        for place in places:
            if place.address6:
                # Its addresses come from us alone: router advertisements must not add any (CVE-2020-13401).
                for setting in ("accept_ra", "disable_ipv6"):
                    write_kernel_file(f"{SYSCTL}/ipv6/conf/{place.name}/{setting}", "0")
            for name, value in place.sysctls.items():
                family, kind, _, setting = name.split(".")[1:]
                Path(SYSCTL, family, kind, place.name, setting).write_text(value)
        names = {place.name for place in places} | {way.link for way in ways if way.link}
        return netlink.open_socket(), {name: socket.if_nametoindex(name) for name in names}

    # The socket stays in the namespace in which it was opened.
    opened, indexes = netns.visit(enter)
    batch = netlink.Batch()
    batch.set_up(1)
    for place in places:
        index = indexes[place.name]
        if place.address:
            batch.add_address(index, str(place.address), place.length)
        batch.set_up(index)
        if again and place.address and place.length < place.address.max_prefixlen:
            subnet = IPv4Network((place.address, place.length), strict=False)
            batch.add_subnet_route(index, subnet, str(place.address))
        if place.address6:
            batch.add_address(index, str(place.address6), place.length6)
        for further in place.further:
            batch.add_address(index, str(further), 16 if further.version == 4 else 64)
    for way in ways:
        if way.link:
            batch.add_default_link(indexes[way.link], socket.AF_INET if way.gateway.version == 4 else socket.AF_INET6)
        else:
            batch.add_default_route(str(way.gateway))
    with opened:
        # An address of an ipvlan link is free only when the namespace is gone whose container had it before.
        patiently(lambda: batch.send(opened))


def links_inside(netns: NetworkNamespace) -> dict[str, netlink.Link]:
    """Every link in there by name."""
    with netns.visit(netlink.open_socket) as opened:
        return netlink.links(opened)


def addresses_v6(name: str) -> set[str]:
    """The IPv6 addresses of a link of the calling thread's namespace (proc(5), /proc/net/if_inet6)."""
    try:
        lines = Path("/proc/thread-self/net/if_inet6").read_text().splitlines()
    except FileNotFoundError:
        return set()
    found = (line.split() for line in lines)
    return {str(IPv6Address(bytes.fromhex(one[0]))) for one in found if one[-1] == name}


def patiently(work: Callable[[], T], busy: Collection[int] = BUSY) -> T:
    """Do it again while what it needs is still held by a namespace that the kernel is about to remove."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            return work()
        except netlink.RefusedError as error:
            if error.number not in busy or time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)
