"""Requests to the kernel's rtnetlink(7), many in one write: one round trip for a container instead of one a request.

Messages that every start needs are made here, byte by byte: pyroute2 takes 0.15 s to import and about 2 ms to make and
send those of one container (docs/decisions/0005-hot-path-of-a-start.md); it is there for what is asked for rarely.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network

from bayplan.errors import RuntimeFailureError
from bayplan.values import frozen

IFF_UP = 1
_REQUEST, _ACK, _REPLACE, _EXCL, _CREATE, _DUMP = 0x1, 0x4, 0x100, 0x200, 0x400, 0x300
_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _NEWROUTE, _GETROUTE = 16, 17, 18, 20, 24, 26
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port (netlink(7))
_IFINFO = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change mask (rtnetlink(7))
_IFADDR = struct.Struct("=4BI")  # ifaddrmsg: family, prefix length, flags, scope, index
_RTMSG = struct.Struct("=8BI")  # rtmsg: family, lengths, tos, table, protocol, scope, type, flags
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
# if_link.h, veth.h, if_addr.h, rtnetlink.h of the kernel's interface (include/uapi/linux)
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 4, 10, 18, 28
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_KIND, _INFO_SLAVE_DATA = 1, 2, 4, 5
_IFLA_LINK, _MACVLAN_MODE, _IPVLAN_MODE, _VLAN_ID, _BRPORT_ISOLATED = 5, 1, 1, 1, 33
_MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
_IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
_VETH_INFO_PEER, _BRPORT_MODE, _BR_FORWARD_DELAY, _BR_STP_STATE = 1, 4, 1, 5
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFA_F_NODAD = 0x02
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC, _RTA_TABLE = 1, 4, 5, 6, 7, 15
_RT_TABLE_MAIN, _RT_TABLE_LOCAL, _RTPROT_KERNEL, _RTPROT_STATIC, _RTN_UNICAST, _RTN_LOCAL = 254, 255, 2, 4, 1, 2
_SCOPE_LINK = 253  # RT_SCOPE_LINK
_BEHIND_LOOPBACK = 4096  # a metric behind that of the loopback's own route
_DUMP_INTERRUPTED = 0x10
_DUMP_ATTEMPTS = 20
_TIMEOUT_S = 10.0
_AT_ONCE = 64
"""Requests in one write: the answers to a few hundred do not fit into the socket (ENOBUFS, netlink(7))."""
_FRAME = 0
"""Sequence number of messages that frame a transaction."""
_sequences = itertools.count(1)
"""Never the same twice: the late answer to a request that was given up is not taken for that to the next one."""


class RefusedError(RuntimeFailureError):
    """The kernel refused a request; ``number`` is its errno(3)."""

    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"the kernel refused {what}: {os.strerror(number)}")
        self.number = number


def open_socket(protocol: int = socket.NETLINK_ROUTE) -> socket.socket:
    """A socket to rtnetlink of the calling thread's network namespace; it stays with that namespace."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    opened.bind((0, 0))
    opened.settimeout(_TIMEOUT_S)
    return opened


@frozen
class Link:
    """A link as the kernel has it: its number, whether it is on, and the number of its bridge (0: none)."""

    index: int
    up: bool
    master: int


def links(of: socket.socket) -> dict[str, Link]:
    """Every link of the socket's namespace by name, in one request. Raises OSError."""
    found: dict[str, Link] = {}
    for data in listing(of, _GETLINK, _IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0), "links"):
        _, _, index, state, _ = _IFINFO.unpack_from(data)
        name, master = "", 0
        # The name comes first and the master next of these two; some thirty others that follow are of no use here.
        for kind, content in attributes(data[_IFINFO.size :]):
            if kind == _IFLA_IFNAME:
                name = content.rstrip(b"\0").decode()
            elif kind == _IFLA_MASTER:
                (master,) = struct.unpack("=I", content)
                break
        found[name] = Link(index, bool(state & IFF_UP), master)
    return found


def routes(of: socket.socket, family: int = socket.AF_INET) -> list[tuple[IPv4Network | IPv6Network, int]]:
    """The routes of the main table but the default one: destination and number of the link (0: none)."""
    found: list[tuple[IPv4Network | IPv6Network, int]] = []
    for data in listing(of, _GETROUTE, _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0), "routes"):
        _, length, _, _, table, *_ = _RTMSG.unpack_from(data)
        held = dict(attributes(data[_RTMSG.size :]))
        table = struct.unpack("=I", held.get(_RTA_TABLE, struct.pack("=I", table)))[0]
        if table == _RT_TABLE_MAIN and _RTA_DST in held:
            index = struct.unpack("=I", held.get(_RTA_OIF, bytes(4)))[0]
            packed = held[_RTA_DST]
            found.append((IPv4Network((packed, length)) if len(packed) == 4 else IPv6Network((packed, length)), index))
    return found


def listing(of: socket.socket, kind: int, body: bytes, what: str) -> list[bytes]:
    """The contents of all messages that answer a dump."""
    for _ in range(_DUMP_ATTEMPTS):
        found = _dump(of, kind, body, what)
        if found is not None:
            return found
    raise OSError(errno.EAGAIN, f"listing {what}: they change all the time")


def _dump(of: socket.socket, asked_for: int, body: bytes, what: str) -> list[bytes] | None:
    """None when some came or went meanwhile: the kernel then may have left out others (NLM_F_DUMP_INTR)."""
    asked = _sequence()
    of.send(_HEADER.pack(_HEADER.size + len(body), asked_for, _REQUEST | _DUMP, asked, 0) + body)
    found: list[bytes] = []
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
                raise OSError(number, f"listing {what}: {os.strerror(number)}")
            found.append(data)


def _sequence() -> int:
    return next(_sequences) & 0xFFFFFFFF


class Batch:
    """Requests in order, each with the sentence that names it in an error; what frames a transaction around each write.

    Messages of the frame have no answer but a refusal of the whole.
    """

    def __init__(self, begin: bytes = b"", end: bytes = b"") -> None:
        self._begin, self._end = begin, end
        self._requests: list[tuple[bytearray, str, int]] = []

    def add_veth(self, name: str, bridge: int, *, peer: str, mac: str, netns_fd: int, mtu: int | None = None) -> None:
        """A veth pair: one end up on a bridge (its index), the other with name and MAC in another namespace."""
        size = _number(_IFLA_MTU, mtu) if mtu else b""
        inner = _IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + _name(peer) + _mac(mac) + size
        inner += _number(_IFLA_NET_NS_FD, netns_fd)
        data = attribute(_INFO_DATA, attribute(_VETH_INFO_PEER, inner))
        attributes = _name(name) + size + _number(_IFLA_MASTER, bridge) + _info(b"veth", data)
        self._link(attributes, f"link {name}", create=True)

    def add_bridge(self, name: str, mtu: int | None) -> None:
        """A bridge that is up, without spanning tree, so that a new port forwards at once."""
        data = attribute(_INFO_DATA, _number(_BR_STP_STATE, 0) + _number(_BR_FORWARD_DELAY, 0))
        attributes = _name(name) + (_number(_IFLA_MTU, mtu) if mtu else b"") + _info(b"bridge", data)
        self._link(attributes, f"bridge {name}", create=True)

    def set_master(self, name: str, bridge: int) -> None:
        """Put a link on a bridge (its index) and switch it on."""
        self._link(_name(name) + _number(_IFLA_MASTER, bridge), f"link {name}")

    def add_child(
        self, name: str, parent: int, kind: str, mode: str, *, mac: str, netns_fd: int, mtu: int | None = None
    ) -> None:
        """A macvlan or ipvlan link on a link of the host (its index), in another namespace. It is not up yet."""
        if kind == "macvlan":
            data = attribute(_MACVLAN_MODE, struct.pack("=I", _MACVLAN_MODES[mode])) if mode else b""
        else:
            data = attribute(_IPVLAN_MODE, struct.pack("=H", _IPVLAN_MODES[mode])) if mode else b""
        attributes = _name(name) + (_mac(mac) if mac else b"") + (_number(_IFLA_MTU, mtu) if mtu else b"")
        attributes += _number(_IFLA_LINK, parent) + _number(_IFLA_NET_NS_FD, netns_fd)
        body = _IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + attributes
        body += _info(kind.encode(), attribute(_INFO_DATA, data))
        self._put(body, _NEWLINK, _CREATE | _EXCL, f"{kind} link {name}")

    def add_vlan(self, name: str, parent: int, number: int) -> None:
        """A link of a VLAN (IEEE 802.1Q) on another, up."""
        data = attribute(_INFO_DATA, attribute(_VLAN_ID, struct.pack("=H", number)))
        self._link(_name(name) + _number(_IFLA_LINK, parent) + _info(b"vlan", data), f"VLAN link {name}", create=True)

    def add_nothing(self, kind: str) -> None:
        """Ask for a link that lacks what its kind needs: the kernel refuses it, unknown kinds with EOPNOTSUPP."""
        self._link(_name("bayplan-probe") + _info(kind.encode(), attribute(_INFO_DATA, b"")), kind, create=True)

    def set_hairpin(self, name: str, *, isolated: bool = False) -> None:
        """Let frames of a bridge port back out where they came from: a container reaches its own published port.

        ``isolated``: but to no other isolated port of the bridge.
        """
        data = attribute(
            _INFO_SLAVE_DATA, attribute(_BRPORT_MODE, b"\1") + attribute(_BRPORT_ISOLATED, bytes([isolated]))
        )
        info = attribute(_IFLA_LINKINFO, attribute(_INFO_SLAVE_KIND, b"bridge\0") + data)
        self._link(_name(name) + info, f"bridge port {name}")

    def remove_link(self, name: str) -> None:
        """Remove a link, and the other end of a pair with it; one that has gone meanwhile is no error.

        The kernel removes the links of a namespace some time after the namespace's last process.
        """
        self._link(_name(name), f"removal of link {name}", kind=_DELLINK, tolerate=errno.ENODEV)

    def set_up(self, index: int, mac: str | None = None) -> None:
        """Switch a link on; ``mac`` also gives it that address."""
        self._link(_mac(mac) if mac else b"", f"link {index}", index=index)

    def add_address(self, index: int, address: str, length: int) -> None:
        """Give a link an address with its prefix length; one that it has is no error.

        An IPv6 address is usable at once: ours are leased, nobody has to be asked for a duplicate (RFC 4862, 5.4).
        """
        family, packed = _packed(address)
        body = _IFADDR.pack(family, length, 0 if family == socket.AF_INET else _IFA_F_NODAD, 0, index)
        body += attribute(_IFA_ADDRESS, packed) + attribute(_IFA_LOCAL, packed)
        self._put(body, _NEWADDR, _CREATE | _EXCL, f"address {address}", errno.EEXIST)

    def add_subnet_route(self, index: int, subnet: IPv4Network, source: str) -> None:
        """The route that the kernel gives with a new address; one that is there is no error."""
        body = _RTMSG.pack(
            socket.AF_INET, subnet.prefixlen, 0, 0, _RT_TABLE_MAIN, _RTPROT_KERNEL, _SCOPE_LINK, _RTN_UNICAST, 0
        )
        body += attribute(_RTA_DST, subnet.network_address.packed) + _number(_RTA_OIF, index)
        body += attribute(_RTA_PREFSRC, socket.inet_pton(socket.AF_INET, source))
        self._put(body, _NEWROUTE, _CREATE | _EXCL, f"route to {subnet}", errno.EEXIST)

    def add_default_route(self, gateway: str) -> None:
        """Send what is not local to the gateway, in place of a route that is there."""
        family, packed = _packed(gateway)
        body = _RTMSG.pack(family, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, 0, _RTN_UNICAST, 0)
        body += attribute(_RTA_GATEWAY, packed)
        self._put(body, _NEWROUTE, _CREATE | _REPLACE, f"default route by {gateway}")

    def add_default_link(self, index: int, family: int) -> None:
        """Send what is not local by a link, whoever answers there."""
        scope = _SCOPE_LINK if family == socket.AF_INET else 0
        body = _RTMSG.pack(family, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, scope, _RTN_UNICAST, 0)
        body += _number(_RTA_OIF, index)
        self._put(body, _NEWROUTE, _CREATE | _REPLACE, f"default route by link {index}")

    def take_loopback_v6(self, index: int) -> None:
        """Take what comes by a link for ::1, which only an answer to a translated packet of ours can be.

        The kernel looks ::1 up by the link it came by, and drops it before any rule when it was sent to it.
        """
        body = _RTMSG.pack(socket.AF_INET6, 128, 0, 0, _RT_TABLE_LOCAL, _RTPROT_STATIC, 0, _RTN_LOCAL, 0)
        body += attribute(_RTA_DST, socket.inet_pton(socket.AF_INET6, "::1")) + _number(_RTA_OIF, index)
        body += _number(_RTA_PRIORITY, _BEHIND_LOOPBACK)
        self._put(body, _NEWROUTE, _CREATE | _EXCL, "route of ::1", errno.EEXIST)

    def request(self, body: bytes, kind: int, what: str, tolerate: int = 0, *, create: bool = False) -> None:
        """Any other request; ``tolerate`` is the number of an error that is none."""
        self._put(body, kind, _CREATE if create else 0, what, tolerate)

    def send(self, to: socket.socket) -> None:
        """Send all and wait for each answer. Raises RuntimeFailureError naming the first request that was refused."""
        refused: list[RefusedError] = []
        for begin in range(0, len(self._requests), _AT_ONCE):
            refused += self._exchange(to, self._requests[begin : begin + _AT_ONCE])
        if refused:
            raise refused[0]

    def _exchange(self, to: socket.socket, requests: Sequence[tuple[bytearray, str, int]]) -> list[RefusedError]:
        """One write, and the requests of it that the kernel refused."""
        sequences = [_sequence() for _ in requests]
        for sequence, (data, _, _) in zip(sequences, requests, strict=True):
            struct.pack_into("=I", data, 8, sequence)
        to.send(b"".join((self._begin, *(bytes(data) for data, _, _ in requests), self._end)))
        answers: dict[int, int] = {}
        while not answers.keys() >= set(sequences):
            answers.update(_answers(to.recv(1 << 16)))
            if whole := answers.get(_FRAME):
                answers = dict.fromkeys(sequences, whole)
        return [
            RefusedError(what, number)
            for sequence, (_, what, tolerated) in zip(sequences, requests, strict=True)
            if (number := answers[sequence]) and number != tolerated
        ]

    def _link(
        self,
        attributes: bytes,
        what: str,
        *,
        index: int = 0,
        create: bool = False,
        kind: int = _NEWLINK,
        tolerate: int = 0,
    ) -> None:
        body = _IFINFO.pack(socket.AF_UNSPEC, 0, index, IFF_UP, IFF_UP) + attributes
        self._put(body, kind, _CREATE | _EXCL if create else 0, what, tolerate)

    def _put(self, body: bytes, kind: int, flags: int, what: str, tolerate: int = 0) -> None:
        header = _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | _ACK | flags, 0, 0)
        self._requests.append((bytearray(header + body), what, tolerate))


def message(kind: int, body: bytes) -> bytes:
    """A message that asks for no answer."""
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST, _FRAME, 0) + body


def attribute(kind: int, data: bytes) -> bytes:
    """An attribute, padded to four bytes."""
    length = _ATTRIBUTE.size + len(data)
    return _ATTRIBUTE.pack(length, kind) + data + bytes(-length % 4)


def _packed(address: str) -> tuple[int, bytes]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.inet_pton(family, address)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def _name(name: str) -> bytes:
    return attribute(_IFLA_IFNAME, name.encode() + b"\0")


def _mac(mac: str) -> bytes:
    return attribute(_IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))


def _info(kind: bytes, data: bytes) -> bytes:
    return attribute(_IFLA_LINKINFO, attribute(_INFO_KIND, kind + b"\0") + data)


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


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and content of each attribute."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        yield kind, data[at + _ATTRIBUTE.size : at + length]
        at += max(_ATTRIBUTE.size, (length + 3) & ~3)
