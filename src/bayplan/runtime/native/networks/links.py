"""Bridges and veth pairs by netlink."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import threading
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayplan.system import namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYSCTL = Path("/proc/sys/net")
_IFF_UP = 1  # netdevice(7)
_LINK_NAME_BYTES = 10  # hexadecimal digits behind the prefix: a link's name holds 15 characters (IFNAMSIZ)


def link_name(prefix: str, *parts: str) -> str:
    """A link's name of at most 15 characters, the same for the same parts."""
    return prefix + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_LINK_NAME_BYTES]


class Links:
    """The host's links through one long-lived netlink socket. Safe to use from many threads."""

    def __init__(self) -> None:
        from pyroute2.iproute.linux import IPRoute

        self._route = IPRoute()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the socket."""
        self._route.close()

    def index(self, name: str) -> int | None:
        """A link's number; None when there is no such link."""
        try:
            return socket.if_nametoindex(name)
        except OSError:
            return None

    def ensure_bridge(self, name: str, gateway: IPv4Address, subnet: IPv4Network, mtu: int | None) -> None:
        """A bridge that is up and has its address, whatever of it was there before."""
        with self._lock:
            if self.index(name) is None:
                options: dict[str, Any] = {"kind": "bridge", "br_stp_state": 0, "br_forward_delay": 0}
                self._route.link("add", ifname=name, **options, **({"mtu": mtu} if mtu else {}))
            index = self.index(name)
            # Router advertisements must not configure the host (CVE-2020-13401).
            for setting, value in (("ipv6/conf/{}/accept_ra", "0"), ("ipv4/conf/{}/route_localnet", "1")):
                _write(_SYSCTL / setting.format(name), value)
            self._tolerate(errno.EEXIST, "addr", "add", index=index, address=str(gateway), prefixlen=subnet.prefixlen)
            self._route.link("set", index=index, state="up")

    def bridge_defects(self, name: str, gateway: IPv4Address) -> Iterator[str]:
        """What a bridge lacks, as sentences."""
        with self._lock:
            index = self.index(name)
            if index is None:
                yield f"bridge {name} is missing"
                return
            (link,) = self._route.link("get", index=index)
            held = [item.get_attr("IFA_ADDRESS") for item in self._route.get_addr(index=index)]
        if link["state"] != "up":
            yield f"bridge {name} is down"
        if str(gateway) not in held:
            yield f"bridge {name} lost its address {gateway}"

    def remove(self, name: str) -> None:
        """Remove a link; absent is no error."""
        with self._lock:
            index = self.index(name)
            if index is not None:
                self._tolerate(errno.ENODEV, "link", "del", index=index)

    def attach(self, host_name: str, bridge: str, netns: Path, inner: str, mac: str) -> None:
        """A veth pair from the bridge into a namespace. One that a cut run left is made anew."""
        with self._lock:
            left = self.index(host_name)
            if left is not None:
                self._tolerate(errno.ENODEV, "link", "del", index=left)
            fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
            try:
                peer = {"ifname": inner, "net_ns_fd": fd, "address": mac}
                self._route.link("add", ifname=host_name, kind="veth", peer=peer)
            finally:
                os.close(fd)
            self._join(host_name, bridge)

    def join(self, host_name: str, bridge: str) -> None:
        """Put a link that is there on a bridge, and up."""
        with self._lock:
            self._join(host_name, bridge)

    def _join(self, host_name: str, bridge: str) -> None:
        index = self.index(host_name)
        self._route.link("set", index=index, master=self.index(bridge), state="up")
        # A container may reach its own published port: the frame goes back out where it came from.
        self._route.brport("set", index=index, mode=1)
        _write(_SYSCTL / f"ipv6/conf/{host_name}/accept_ra", "0")

    def is_attached(self, host_name: str, bridge: str) -> bool:
        """Whether the link is up and on that bridge."""
        index, master = self.index(host_name), self.index(bridge)
        if index is None or master is None:
            return False
        with self._lock:
            (link,) = self._route.link("get", index=index)
        return link.get_attr("IFLA_MASTER") == master and bool(link["flags"] & _IFF_UP)

    def routes(self) -> list[tuple[IPv4Network, str]]:
        """The host's IPv4 routes but the default one: destination and link."""
        found = []
        with self._lock:
            for item in self._route.get_routes(family=socket.AF_INET, table=254):
                target = item.get_attr("RTA_DST")
                if target:
                    index = item.get_attr("RTA_OIF")
                    name = socket.if_indextoname(index) if index else "?"
                    found.append((IPv4Network(f"{target}/{item['dst_len']}"), name))
        return found

    def _tolerate(self, expected: int, verb: str, *arguments: Any, **options: Any) -> None:
        from pyroute2.netlink.exceptions import NetlinkError

        try:
            getattr(self._route, verb)(*arguments, **options)
        except NetlinkError as error:
            if error.code != expected:
                raise


def configure_inside(netns: Path, endpoints: list[tuple[str, IPv4Address, int]], gateway: IPv4Address | None) -> None:
    """In a namespace: loopback up, each link with its address (name, address, prefix length) up, the default route."""

    def body() -> None:
        from pyroute2.iproute.linux import IPRoute

        _write(_SYSCTL / "ipv6/conf/all/accept_ra", "0")
        _write(_SYSCTL / "ipv6/conf/default/disable_ipv6", "1")
        with IPRoute() as route:
            route.link("set", index=1, state="up")
            for name, address, length in endpoints:
                index = socket.if_nametoindex(name)
                route.addr("add", index=index, address=str(address), prefixlen=length)
                route.link("set", index=index, state="up")
            if gateway is not None:
                route.route("replace", dst="default", gateway=str(gateway))

    namespaces.in_network(netns, body)


def _write(path: Path, value: str) -> None:
    """Set a kernel setting that may be absent (IPv6 off)."""
    if path.exists():
        path.write_text(value)
