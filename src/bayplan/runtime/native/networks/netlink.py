"""Requests to the kernel's rtnetlink(7), many in one write: one round trip for a container instead of one a request.

Messages are pyroute2's; they are sent on a plain socket, because its own request cycle (an event loop for each call)
takes longer than the kernel does.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bayplan.errors import RuntimeFailureError

IFF_UP = 1
_REQUEST, _ACK, _REPLACE, _EXCL, _CREATE, _DUMP = 0x1, 0x4, 0x100, 0x200, 0x400, 0x300
_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _NEWROUTE = 16, 17, 18, 20, 24
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port (netlink(7))
_IFINFO = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change mask (rtnetlink(7))
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_IFLA_IFNAME, _IFLA_MASTER = 3, 10
_DUMP_INTERRUPTED = 0x10
_DUMP_ATTEMPTS = 20
_TIMEOUT_S = 10.0
_sequences = itertools.count(1)
"""Never the same twice: the late answer to a request that was given up is not taken for that to the next one."""


def open_socket() -> socket.socket:
    """A socket to rtnetlink of the calling thread's network namespace; it stays with that namespace."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    opened.bind((0, 0))
    opened.settimeout(_TIMEOUT_S)
    return opened


@dataclass(frozen=True)
class Link:
    """A link as the kernel has it: its number, whether it is on, and the number of its bridge (0: none)."""

    index: int
    up: bool
    master: int


def links(of: socket.socket) -> dict[str, Link]:
    """Every link of the socket's namespace by name, in one request. Raises OSError."""
    for _ in range(_DUMP_ATTEMPTS):
        found = _dump(of)
        if found is not None:
            return found
    raise OSError(errno.EAGAIN, "listing links: they change all the time")


def _dump(of: socket.socket) -> dict[str, Link] | None:
    """None when links came or went meanwhile: the kernel then may have left out others (NLM_F_DUMP_INTR)."""
    asked = _sequence()
    body = _IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    of.send(_HEADER.pack(_HEADER.size + len(body), _GETLINK, _REQUEST | _DUMP, asked, 0) + body)
    found: dict[str, Link] = {}
    whole = True
    while True:
        for kind, flags, sequence, data in _messages(of.recv(1 << 18)):
            if sequence != asked:
                continue
            whole = whole and not flags & _DUMP_INTERRUPTED
            if kind == _NLMSG_DONE:
                return found if whole else None
            if kind == _NLMSG_ERROR:
                number = -struct.unpack_from("=i", data)[0]
                if number == errno.EBUSY:  # a list that was given up still comes; reading takes it out of the way
                    return None
                raise OSError(number, f"listing links: {os.strerror(number)}")
            _, _, index, state, _ = _IFINFO.unpack_from(data)
            attributes = dict(_attributes(data[_IFINFO.size :]))
            master = struct.unpack("=I", attributes.get(_IFLA_MASTER, bytes(4)))[0]
            name = attributes[_IFLA_IFNAME].rstrip(b"\0").decode()
            found[name] = Link(index, bool(state & IFF_UP), master)


def _sequence() -> int:
    return next(_sequences) & 0xFFFFFFFF


class Batch:
    """Requests in order, each with the sentence that names it in an error."""

    def __init__(self) -> None:
        self._requests: list[tuple[bytearray, str, int]] = []

    def add_veth(self, name: str, bridge: int, *, peer: str, mac: str, netns_fd: int) -> None:
        """A veth pair: one end up on a bridge (its index), the other with name and MAC in another namespace."""
        inner = {"attrs": [("IFLA_IFNAME", peer), ("IFLA_ADDRESS", mac), ("IFLA_NET_NS_FD", netns_fd)]}
        data = {"attrs": [("VETH_INFO_PEER", inner)]}
        info = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data)]}
        attributes = [("IFLA_IFNAME", name), ("IFLA_MASTER", bridge), ("IFLA_LINKINFO", info)]
        self._link(attributes, f"link {name}", create=True)

    def set_master(self, name: str, bridge: int) -> None:
        """Put a link on a bridge (its index) and switch it on."""
        self._link([("IFLA_IFNAME", name), ("IFLA_MASTER", bridge)], f"link {name}")

    def set_hairpin(self, name: str) -> None:
        """Let frames of a bridge port back out where they came from: a container reaches its own published port."""
        data = {"attrs": [("IFLA_BRPORT_MODE", 1)]}
        info = {"attrs": [("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", data)]}
        self._link([("IFLA_IFNAME", name), ("IFLA_LINKINFO", info)], f"bridge port {name}")

    def remove_link(self, name: str) -> None:
        """Remove a link, and the other end of a pair with it; one that has gone meanwhile is no error.

        The kernel removes the links of a namespace some time after the namespace's last process.
        """
        self._link([("IFLA_IFNAME", name)], f"removal of link {name}", kind=_DELLINK, tolerate=errno.ENODEV)

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
        """Send what is not local to the gateway, in place of a route that is there."""
        from pyroute2.netlink.rtnl.rtmsg import rtmsg

        message = rtmsg()
        message["family"], message["table"] = socket.AF_INET, 254
        message["proto"], message["type"], message["scope"] = 4, 1, 0  # RTPROT_STATIC, RTN_UNICAST, universe
        message["attrs"] = [("RTA_GATEWAY", gateway), ("RTA_TABLE", 254)]
        self._put(message, _NEWROUTE, _CREATE | _REPLACE, f"default route by {gateway}")

    def send(self, to: socket.socket) -> None:
        """Send all and wait for each answer. Raises RuntimeFailureError naming the first request that was refused."""
        if not self._requests:
            return
        sequences = [_sequence() for _ in self._requests]
        for sequence, (data, _, _) in zip(sequences, self._requests, strict=True):
            struct.pack_into("=I", data, 8, sequence)
        to.send(b"".join(bytes(data) for data, _, _ in self._requests))
        answers: dict[int, int] = {}
        while not answers.keys() >= set(sequences):
            answers.update(_answers(to.recv(1 << 16)))
        for sequence, (_, what, tolerated) in zip(sequences, self._requests, strict=True):
            if (number := answers[sequence]) and number != tolerated:
                raise RuntimeFailureError(f"the kernel refused {what}: {os.strerror(number)}")

    def _link(
        self,
        attributes: list[tuple[str, Any]],
        what: str,
        *,
        index: int = 0,
        create: bool = False,
        kind: int = _NEWLINK,
        tolerate: int = 0,
    ) -> None:
        from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

        message = ifinfmsg()
        message["index"], message["attrs"] = index, attributes
        message["flags"] = message["change"] = IFF_UP
        self._put(message, kind, _CREATE | _EXCL if create else 0, what, tolerate)

    def _put(self, message: Any, kind: int, flags: int, what: str, tolerate: int = 0) -> None:
        message["header"]["type"], message["header"]["flags"] = kind, _REQUEST | _ACK | flags
        message.encode()
        self._requests.append((bytearray(message.data), what, tolerate))


def _answers(data: bytes) -> Iterator[tuple[int, int]]:
    """Sequence numbers and error numbers (0: done) of the acknowledgements in a datagram."""
    for kind, _, _, body in _messages(data):
        if kind == _NLMSG_ERROR:  # the error number, then the header of the request it answers
            number, _, _, _, sequence = struct.unpack_from("=iIHHI", body)
            yield sequence, -number


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, sequence number and content of each message of a datagram."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
        yield kind, flags, sequence, data[at + _HEADER.size : at + length]
        at += max(_HEADER.size, (length + 3) & ~3)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and content of each attribute."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        yield kind, data[at + _ATTRIBUTE.size : at + length]
        at += max(_ATTRIBUTE.size, (length + 3) & ~3)
