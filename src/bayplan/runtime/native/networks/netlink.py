"""Requests to the kernel's rtnetlink(7), many in one write: one round trip for a container instead of one a request.

Messages are pyroute2's; they are sent on a plain socket, because its own request cycle (an event loop for each call)
takes longer than the kernel does.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable
from typing import Any

from bayplan.errors import RuntimeFailureError

IFF_UP = 1
_REQUEST, _ACK, _EXCL, _CREATE = 0x1, 0x4, 0x200, 0x400
_NEWLINK, _DELLINK, _NEWADDR, _NEWROUTE = 16, 17, 20, 24
_NLMSG_ERROR = 2
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port (netlink(7))
_TIMEOUT_S = 10.0


def open_socket() -> socket.socket:
    """A socket to rtnetlink of the calling thread's network namespace; it stays with that namespace."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    opened.bind((0, 0))
    opened.settimeout(_TIMEOUT_S)
    return opened


class Batch:
    """Requests in order, each with the sentence that names it in an error."""

    def __init__(self) -> None:
        self._requests: list[tuple[bytearray, str]] = []

    def add_veth(self, name: str, bridge: int, *, peer: str, mac: str, netns_fd: int) -> None:
        """A veth pair: one end up on a bridge (its index), the other with name and MAC in another namespace."""
        inner = {"attrs": [("IFLA_IFNAME", peer), ("IFLA_ADDRESS", mac), ("IFLA_NET_NS_FD", netns_fd)]}
        data = {"attrs": [("VETH_INFO_PEER", inner)]}
        info = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data)]}
        attributes = [("IFLA_IFNAME", name), ("IFLA_MASTER", bridge), ("IFLA_LINKINFO", info)]
        self._link(attributes, f"link {name}", create=True)

    def set_hairpin(self, name: str) -> None:
        """Let frames of a bridge port back out where they came from: a container reaches its own published port."""
        data = {"attrs": [("IFLA_BRPORT_MODE", 1)]}
        info = {"attrs": [("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", data)]}
        self._link([("IFLA_IFNAME", name), ("IFLA_LINKINFO", info)], f"bridge port {name}")

    def remove_link(self, name: str) -> None:
        """Remove a link, and the other end of a pair with it."""
        self._link([("IFLA_IFNAME", name)], f"removal of link {name}", kind=_DELLINK)

    def set_up(self, index: int) -> None:
        """Switch a link on."""
        self._link([], f"link {index}", index=index)

    def add_address(self, index: int, address: str, length: int) -> None:
        """Give a link an IPv4 address with its prefix length."""
        from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

        message = ifaddrmsg()
        message["family"], message["prefixlen"], message["index"] = socket.AF_INET, length, index
        message["attrs"] = [("IFA_ADDRESS", address), ("IFA_LOCAL", address)]
        self._put(message, _NEWADDR, _CREATE | _EXCL, f"address {address}")

    def add_default_route(self, gateway: str) -> None:
        """Send what is not local to the gateway."""
        from pyroute2.netlink.rtnl.rtmsg import rtmsg

        message = rtmsg()
        message["family"], message["table"] = socket.AF_INET, 254
        message["proto"], message["type"], message["scope"] = 4, 1, 0  # RTPROT_STATIC, RTN_UNICAST, universe
        message["attrs"] = [("RTA_GATEWAY", gateway), ("RTA_TABLE", 254)]
        self._put(message, _NEWROUTE, _CREATE | _EXCL, f"default route by {gateway}")

    def send(self, to: socket.socket, *, tolerate: int = 0) -> None:
        """Send all and wait for each answer; ``tolerate`` is an error number that counts as done.

        Raises RuntimeFailureError naming the first request that was refused.
        """
        if not self._requests:
            return
        for sequence, (data, _) in enumerate(self._requests, start=1):
            struct.pack_into("=I", data, 8, sequence)
        to.send(b"".join(bytes(data) for data, _ in self._requests))
        answers: dict[int, int] = {}
        while len(answers) < len(self._requests):
            answers.update(_answers(to.recv(1 << 16)))
        for sequence, (_, what) in enumerate(self._requests, start=1):
            if (number := answers[sequence]) and number != tolerate:
                raise RuntimeFailureError(f"the kernel refused {what}: {os.strerror(number)}")

    def _link(
        self,
        attributes: list[tuple[str, Any]],
        what: str,
        *,
        index: int = 0,
        create: bool = False,
        kind: int = _NEWLINK,
    ) -> None:
        from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

        message = ifinfmsg()
        message["index"], message["attrs"] = index, attributes
        message["flags"] = message["change"] = IFF_UP
        self._put(message, kind, _CREATE | _EXCL if create else 0, what)

    def _put(self, message: Any, kind: int, flags: int, what: str) -> None:
        message["header"]["type"], message["header"]["flags"] = kind, _REQUEST | _ACK | flags
        message.encode()
        self._requests.append((bytearray(message.data), what))


def _answers(data: bytes) -> Iterable[tuple[int, int]]:
    """Sequence numbers and error numbers (0: done) of the acknowledgements in a datagram."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
        if kind == _NLMSG_ERROR:
            yield sequence, -struct.unpack_from("=i", data, at + _HEADER.size)[0]
        at += max(_HEADER.size, (length + 3) & ~3)
