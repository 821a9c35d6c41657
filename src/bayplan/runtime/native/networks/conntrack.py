"""Flows that the kernel goes on translating after the port that they came by has moved.

A client that sends datagrams from one port again and again is one flow to the kernel, and rules are asked for its first
packet only. Silence alone ends such a flow: it would talk to a container that is gone, or, begun before the port was
published, to nobody.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, IPv6Address

from bayplan.errors import RuntimeFailureError
from bayplan.runtime.native.networks import netlink
from bayplan.runtime.native.networks.held import Published
from bayplan.system import sockets

_NETFILTER = 12  # NETLINK_NETFILTER, linux/netlink.h
_GET, _DELETE = (1 << 8) | 1, (1 << 8) | 2  # NFNL_SUBSYS_CTNETLINK with IPCTNL_MSG_CT_*, nfnetlink_conntrack.h
_NFGENMSG = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)  # flows of both families; each answer names its own
_TUPLE_ORIG, _TUPLE_REPLY, _ID = 1, 2, 12  # CTA_*
_TUPLE_IP, _TUPLE_PROTO, _V4_SRC, _V4_DST, _NUMBER, _SRC_PORT, _DST_PORT = 1, 2, 1, 2, 1, 2, 3
_V6_SRC, _V6_DST = 3, 4
_NESTED, _TYPE = 0x8000, 0x3FFF
_PROTOCOLS = {"udp": 17, "sctp": 132}
_ABSENT = (errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOENT)
_End = tuple[str, int]


def forget(closed: Collection[Published], opened: Collection[Published] = ()) -> None:
    """End flows to containers that a port led to until now, and flows to ports of the host that now lead to one.

    TCP needs none of it: its connections end by themselves. On a host whose kernel cannot list flows nothing is done.
    """
    gone = {(_PROTOCOLS[port.protocol], port.published, port.address, port.target) for port in _datagrams(closed)}
    new = {(_PROTOCOLS[port.protocol], port.published) for port in _datagrams(opened)}
    if not gone and not new:
        return
    try:
        opened_socket = netlink.open_socket(_NETFILTER)
    except OSError:
        return
    with opened_socket:
        try:
            flows = netlink.listing(opened_socket, _GET, _NFGENMSG, "flows")
        except OSError as error:
            if error.errno in _ABSENT:
                return
            raise RuntimeFailureError(f"the kernel's flows cannot be listed: {error}") from error
        batch = netlink.Batch()
        for data in flows:
            parts = {kind & _TYPE: value for kind, value in netlink.attributes(data[len(_NFGENMSG) :])}
            if _TUPLE_ORIG not in parts or _TUPLE_REPLY not in parts:
                continue
            number, _, target = _ends(parts[_TUPLE_ORIG])
            _, answers, _ = _ends(parts[_TUPLE_REPLY])
            led = (number, target[1], *answers) in gone
            if led or ((number, target[1]) in new and answers == target and sockets.has_address(target[0])):
                body = data[: len(_NFGENMSG)] + netlink.attribute(_TUPLE_ORIG | _NESTED, parts[_TUPLE_ORIG])
                body += netlink.attribute(_ID, parts[_ID]) if _ID in parts else b""
                batch.request(body, _DELETE, "end of a flow", errno.ENOENT)
        batch.send(opened_socket)


def _datagrams(ports: Collection[Published]) -> list[Published]:
    return [port for port in ports if port.protocol in _PROTOCOLS]


def _ends(packed: bytes) -> tuple[int, _End, _End]:
    """Protocol, source and destination of one direction of a flow; zeros for what has no ports."""
    parts = _parts(packed)
    place, protocol = _parts(parts.get(_TUPLE_IP, b"")), _parts(parts.get(_TUPLE_PROTO, b""))
    number = protocol.get(_NUMBER, b"\0")[0]
    if _V6_SRC in place and _V6_DST in place:
        ends = (str(IPv6Address(place[_V6_SRC])), str(IPv6Address(place[_V6_DST])))
    else:
        ends = (str(IPv4Address(place.get(_V4_SRC, bytes(4)))), str(IPv4Address(place.get(_V4_DST, bytes(4)))))
    source = (ends[0], _port(protocol.get(_SRC_PORT)))
    target = (ends[1], _port(protocol.get(_DST_PORT)))
    return number, source, target


def _parts(packed: bytes) -> Mapping[int, bytes]:
    return {kind & _TYPE: value for kind, value in netlink.attributes(packed)}


def _port(packed: bytes | None) -> int:
    return int.from_bytes(packed, "big") if packed else 0
