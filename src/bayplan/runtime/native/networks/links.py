"""Bridges by netlink, and the places of containers on them."""

from __future__ import annotations

import fcntl
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING

from bayplan.errors import RuntimeFailureError
from bayplan.runtime.native.networks import netlink
from bayplan.runtime.native.networks.addresses import mac_of
from bayplan.system.namespaces import NetworkNamespace

if TYPE_CHECKING:
    from pyroute2.iproute.linux import IPRoute

_SYSCTL = Path("/proc/sys/net")
_SIOCGIFFLAGS, _SIOCGIFADDR = 0x8913, 0x8915
_ENDING_S, _POLL_S = 2.0, 0.01
_LINK_NAME_BYTES = 10  # hexadecimal digits behind the prefix: a link's name holds 15 characters (IFNAMSIZ)


def link_name(prefix: str, *parts: str) -> str:
    """A link's name of at most 15 characters, the same for the same parts."""
    return prefix + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_LINK_NAME_BYTES]


@dataclass(frozen=True)
class Place:
    """One link of a container: its end on the host and the bridge there, its end inside, MAC and address."""

    host_name: str
    bridge: str
    name: str
    mac: str
    address: IPv4Address
    length: int
    address6: IPv6Address | None = None
    """None: the link has no IPv6 at all."""
    length6: int = 0


class Links:
    """The host's links through long-lived netlink sockets. Safe to use from many threads."""

    def __init__(self) -> None:
        self._opened: IPRoute | None = None
        self._socket = netlink.open_socket()
        self._ioctl = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._lock = threading.Lock()

    @property
    def _route(self) -> IPRoute:
        """pyroute2's socket, opened at first use: its package takes longer to import than a look at the host takes."""
        if self._opened is None:
            from pyroute2.iproute.linux import IPRoute

            self._opened = IPRoute()
        return self._opened

    def close(self) -> None:
        """Close the sockets."""
        for item in (self._opened, self._socket, self._ioctl):
            if item is not None:
                item.close()

    def index(self, name: str) -> int | None:
        """A link's number; None when there is no such link."""
        try:
            return socket.if_nametoindex(name)
        except OSError:
            return None

    def ensure_bridge(
        self,
        name: str,
        gateway: IPv4Address,
        subnet: IPv4Network,
        mtu: int | None,
        second: tuple[IPv6Address, IPv6Network] | None = None,
    ) -> None:
        """A bridge that is up and has its address, whatever of it was there before; ``second`` is its IPv6 one."""
        with self._lock:
            if self.index(name) is None:
                made = netlink.Batch()
                made.add_bridge(name, mtu)
                made.send(self._socket)
            index = self.index(name)
            assert index is not None  # made above, and nobody else removes ours
            # Router advertisements must not configure the host (CVE-2020-13401).
            # Not asked for, it has no IPv6: its link-local address would be a way to the host.
            _write(_SYSCTL / f"ipv6/conf/{name}/disable_ipv6", "0" if second else "1")
            if second:
                # The host asks for its neighbours from its link-local address: it must not wait a second for that one.
                _write(_SYSCTL / f"ipv6/conf/{name}/accept_dad", "0")
            for setting, value in (("ipv6/conf/{}/accept_ra", "0"), ("ipv4/conf/{}/route_localnet", "1")):
                _write(_SYSCTL / setting.format(name), value)
            batch = netlink.Batch()
            batch.add_address(index, str(gateway), subnet.prefixlen)
            # Without an address of its own a bridge takes the lowest of its ports', and changes it as they come and go:
            # containers would send to the old one until their neighbour tables time out.
            batch.set_up(index, mac_of(gateway))
            if second:
                batch.add_address(index, str(second[0]), second[1].prefixlen)
                batch.take_loopback_v6(index)
            batch.send(self._socket)

    def bridge_defects(self, name: str, gateway: IPv4Address, second: str = "") -> Iterator[str]:
        """What a bridge lacks, as sentences."""
        if self.index(name) is None:
            yield f"bridge {name} is missing"
            return
        if not self._is_up(name):
            yield f"bridge {name} is down"
        if self._first_address(name) != gateway and str(gateway) not in self._addresses(name):
            yield f"bridge {name} lost its address {gateway}"
        if second and second not in addresses_v6(name):
            yield f"bridge {name} lost its address {second}"

    def remove(self, names: Iterable[str]) -> None:
        """Remove links; absent ones are no error."""
        batch = netlink.Batch()
        for name in names:
            if self.index(name) is not None:
                batch.remove_link(name)
        with self._lock:
            batch.send(self._socket)

    def await_end(self, names: set[str]) -> None:
        """Wait until the kernel has removed these with their namespaces; what somebody still holds is removed here."""
        deadline = time.monotonic() + _ENDING_S
        left = names
        while left and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            left = left.intersection(self.all())
        self.remove(left)

    def attach(self, netns: NetworkNamespace, places: Sequence[Place]) -> None:
        """A veth pair for each place, from its bridge into the namespace. What a cut run left is made anew."""
        batch = netlink.Batch()
        for place in places:
            if self.index(place.host_name) is not None:
                batch.remove_link(place.host_name)
            bridge = self.index(place.bridge)
            if bridge is None:
                raise RuntimeFailureError(f"bridge {place.bridge} is missing", hint="apply again: it is mended")
            batch.add_veth(place.host_name, bridge, peer=place.name, mac=place.mac, netns_fd=netns.fd)
            batch.set_hairpin(place.host_name)
        with self._lock:
            batch.send(self._socket)
        for place in places:
            # Router advertisements must not configure the host (CVE-2020-13401).
            _write(_SYSCTL / f"ipv6/conf/{place.host_name}/accept_ra", "0")

    def join(self, host_name: str, bridge: str) -> None:
        """Put a link that is there on a bridge, and up. Raises RuntimeFailureError."""
        index = self.index(bridge)
        if index is None:
            raise RuntimeFailureError(f"bridge {bridge} is missing", hint="apply again: it is mended")
        batch = netlink.Batch()
        batch.set_master(host_name, index)
        batch.set_hairpin(host_name)
        with self._lock:
            batch.send(self._socket)

    def all(self) -> dict[str, netlink.Link]:
        """Every link of the host by name."""
        with self._lock:
            return netlink.links(self._socket)

    def routes(self, family: int = socket.AF_INET) -> list[tuple[IPv4Network | IPv6Network, str]]:
        """The host's routes but the default one: destination and link."""
        with self._lock:
            listed = netlink.routes(self._socket, family)
        found = []
        for target, index in listed:
            try:
                name = socket.if_indextoname(index) if index else "?"
            except OSError:  # somebody's link that went after the routes were listed, and its route with it
                continue
            found.append((target, name))
        return found

    def _is_up(self, name: str) -> bool:
        """IFF_UP of SIOCGIFFLAGS (netdevice(7))."""
        answer = fcntl.ioctl(self._ioctl, _SIOCGIFFLAGS, struct.pack("16sH14x", name.encode(), 0))
        return bool(struct.unpack("16sH14x", answer)[1] & netlink.IFF_UP)

    def _first_address(self, name: str) -> IPv4Address | None:
        """SIOCGIFADDR (netdevice(7)): the link's primary address."""
        try:
            answer = fcntl.ioctl(self._ioctl, _SIOCGIFADDR, struct.pack("16sH14x", name.encode(), socket.AF_INET))
        except OSError:
            return None
        return IPv4Address(answer[20:24])

    def _addresses(self, name: str) -> list[str]:
        with self._lock:
            return [item.get_attr("IFA_ADDRESS") for item in self._route.get_addr(index=self.index(name))]


def prepare_inside() -> None:
    """Settings of a new network namespace, before any link is in it: no IPv6 unless asked for."""
    _write(_SYSCTL / "ipv6/conf/all/accept_ra", "0")
    _write(_SYSCTL / "ipv6/conf/default/disable_ipv6", "1")


def addresses_v6(name: str) -> set[str]:
    """The IPv6 addresses of a link of the calling thread's namespace (proc(5), /proc/net/if_inet6)."""
    try:
        lines = Path("/proc/thread-self/net/if_inet6").read_text().splitlines()
    except FileNotFoundError:
        return set()
    found = (line.split() for line in lines)
    return {str(IPv6Address(bytes.fromhex(one[0]))) for one in found if one[-1] == name}


def configure_inside(
    netns: NetworkNamespace, places: Sequence[Place], gateway: IPv4Address | None, gateway6: IPv6Address | None = None
) -> None:
    """Loopback up, each link with its addresses up, the default routes."""

    def enter() -> tuple[socket.socket, list[int]]:
        for place in places:
            if place.address6:
                # Its addresses come from us alone: router advertisements must not add any (CVE-2020-13401).
                for setting in ("accept_ra", "disable_ipv6"):
                    _write(_SYSCTL / f"ipv6/conf/{place.name}/{setting}", "0")
        return netlink.open_socket(), [socket.if_nametoindex(place.name) for place in places]

    # The socket stays in the namespace in which it was opened.
    opened, indexes = netns.visit(enter)
    batch = netlink.Batch()
    batch.set_up(1)
    for place, index in zip(places, indexes, strict=True):
        batch.add_address(index, str(place.address), place.length)
        batch.set_up(index)
        if place.address6:
            batch.add_address(index, str(place.address6), place.length6)
    for way in (gateway, gateway6):
        if way is not None:
            batch.add_default_route(str(way))
    with opened:
        batch.send(opened)


def _write(path: Path, value: str) -> None:
    """Set a kernel setting that may be absent (IPv6 off)."""
    if path.exists():
        path.write_text(value)
