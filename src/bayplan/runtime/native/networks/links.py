"""Bridges by netlink, and the places of containers on them."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from bayplan.errors import RuntimeFailureError
from bayplan.models.network import AddressRange
from bayplan.runtime.native.networks import netlink
from bayplan.runtime.native.networks.addresses import mac_of
from bayplan.runtime.native.networks.inside import BUSY, SYSCTL, Place, addresses_v6, patiently
from bayplan.system.files import read_if_there, write_kernel_file
from bayplan.system.namespaces import NetworkNamespace

if TYPE_CHECKING:
    from pyroute2.iproute.linux import IPRoute

_SIOCGIFFLAGS, _SIOCGIFADDR = 0x8913, 0x8915
_ENDING_S, _POLL_S = 2.0, 0.01
_LINK_NAME_BYTES = 10  # hexadecimal digits behind the prefix: a link's name holds 15 characters (IFNAMSIZ)


def link_name(prefix: str, *parts: str) -> str:
    """A link's name of at most 15 characters, the same for the same parts."""
    return prefix + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_LINK_NAME_BYTES]


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

    def ensure_bridge(self, name: str, ranges: Sequence[AddressRange], mtu: int | None) -> None:
        """A bridge that is up and has the gateways' addresses, the first of all first, whatever of it was there."""
        six = any(one.subnet.version == 6 for one in ranges)
        with self._lock:
            if self.index(name) is None:
                made = netlink.Batch()
                made.add_bridge(name, mtu)
                made.send(self._socket)
            index = self.index(name)
            assert index is not None  # made above, and nobody else removes ours
            # Router advertisements must not configure the host (CVE-2020-13401).
            # Not asked for, it has no IPv6: its link-local address would be a way to the host.
            write_kernel_file(f"{SYSCTL}/ipv6/conf/{name}/disable_ipv6", "0" if six else "1")
            if six:
                # The host asks for its neighbours from its link-local address: it must not wait a second for that one.
                write_kernel_file(f"{SYSCTL}/ipv6/conf/{name}/accept_dad", "0")
            for setting, value in (("ipv6/conf/{}/accept_ra", "0"), ("ipv4/conf/{}/route_localnet", "1")):
                write_kernel_file(f"{SYSCTL}/{setting.format(name)}", value)
            batch = netlink.Batch()
            for one in ranges:
                batch.add_address(index, str(one.way), one.subnet.prefixlen)
            # Without an address of its own a bridge takes the lowest of its ports', and changes it as they come and go:
            # containers would send to the old one until their neighbour tables time out.
            batch.set_up(index, mac_of(ranges[0].way))
            if six:
                batch.take_loopback_v6(index)
            batch.send(self._socket)

    def bridge_defects(self, name: str, ranges: Sequence[AddressRange]) -> Iterator[str]:
        """What a bridge lacks, as sentences."""
        if self.index(name) is None:
            yield f"bridge {name} is missing"
            return
        if not self._is_up(name):
            yield f"bridge {name} is down"
        if read_if_there(f"{SYSCTL}/ipv4/conf/{name}/route_localnet").strip() == b"0":
            yield f"bridge {name} takes nothing that came for 127.0.0.1 (route_localnet)"
        first, *others = [one.way for one in ranges]
        # Most have one IPv4 address, which is asked for without loading what lists them all.
        four = [str(one) for one in (first, *others) if one.version == 4]
        held = {str(first)} if self._first_address(name) == first and len(four) == 1 else set(self._addresses(name))
        held |= addresses_v6(name) if len(four) < len(ranges) else set()
        for gateway in (first, *others):
            if str(gateway) not in held:
                yield f"bridge {name} lost its address {gateway}"

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
        left = names.intersection(self.all())
        while left and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            left = left.intersection(self.all())
        self.remove(left)

    def attach(self, netns: NetworkNamespace, places: Sequence[Place]) -> None:
        """A link for each place, from its bridge or its parent into the namespace. What a cut run left is made anew."""
        batch = netlink.Batch()
        for place in (item for item in places if item.bridged):
            if self.index(place.host_name) is not None:
                batch.remove_link(place.host_name)
            bridge = self.index(place.bridge)
            if bridge is None:
                raise RuntimeFailureError(f"bridge {place.bridge} is missing", hint="apply again: it is mended")
            batch.add_veth(place.host_name, bridge, peer=place.name, mac=place.mac, netns_fd=netns.fd, mtu=place.mtu)
            batch.set_hairpin(place.host_name, isolated=place.isolated)
        with self._lock:
            batch.send(self._socket)
        for place in places:
            # Router advertisements must not configure the host (CVE-2020-13401).
            write_kernel_file(f"{SYSCTL}/ipv6/conf/{place.host_name}/accept_ra", "0")
            if not place.bridged:
                self._add_child(netns, place)

    def _add_child(self, netns: NetworkNamespace, place: Place) -> None:
        parent = self.index(place.parent)
        if parent is None:
            raise RuntimeFailureError(f"link {place.parent} is missing", hint="make it, and apply again")
        batch = netlink.Batch()
        batch.add_child(place.name, parent, place.driver, place.mode, mac=place.mac, netns_fd=netns.fd, mtu=place.mtu)

        def send() -> None:
            with self._lock:
                batch.send(self._socket)

        # A parent that another has to itself is refused as an invalid argument (drivers/net/macvlan.c).
        patiently(send, (*BUSY, errno.EINVAL) if place.mode == "passthru" else BUSY)

    def ensure_vlan(self, name: str, parent: str, number: int) -> None:
        """A link of a VLAN, up. Raises RuntimeFailureError."""
        with self._lock:
            batch, held, index = netlink.Batch(), self.index(name), self.index(parent)
            if held is not None:
                batch.set_up(held)
            elif index is None:
                raise RuntimeFailureError(f"link {parent} is missing", hint="make it, and apply again")
            else:
                batch.add_vlan(name, index, number)
            batch.send(self._socket)
            write_kernel_file(f"{SYSCTL}/ipv6/conf/{name}/accept_ra", "0")

    def knows(self, kind: str) -> bool:
        """Whether the kernel has links of that kind; it loads their module if it has one."""
        batch = netlink.Batch()
        batch.add_nothing(kind)
        try:
            with self._lock:
                batch.send(self._socket)
        except netlink.RefusedError as error:
            return error.number != errno.EOPNOTSUPP
        return True

    def join(self, place: Place) -> None:
        """Put a link that is there on its bridge, and up. Raises RuntimeFailureError."""
        index = self.index(place.bridge)
        if index is None:
            raise RuntimeFailureError(f"bridge {place.bridge} is missing", hint="apply again: it is mended")
        batch = netlink.Batch()
        batch.set_master(place.host_name, index)
        batch.set_hairpin(place.host_name, isolated=place.isolated)
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
