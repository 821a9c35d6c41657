"""Elements that are added to sets of nftables by one netlink transaction, without nft.

libnftables reads every set of the table before it adds to one: 3 ms a container, and more with each that is there; the
kernel takes 0.1 (docs/decisions/0005-hot-path-of-a-start.md). Keys are as in nf_tables.h: the parts of a concatenation
one after the other, each filled up to four bytes.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection, Mapping

from bayplan.errors import RuntimeFailureError
from bayplan.runtime.native.networks import netlink

_NETFILTER = 12  # NETLINK_NETFILTER, linux/netlink.h
_BRIDGE = 7  # NFPROTO_BRIDGE, linux/netfilter.h
# nfnetlink.h, nf_tables.h of the kernel's interface (include/uapi/linux/netfilter)
_NFTABLES = 10
_BATCH_BEGIN, _BATCH_END, _NEWSETELEM = 0x10, 0x11, _NFTABLES << 8 | 12
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS, _LIST_ELEM, _ELEM_KEY, _DATA_VALUE = 1, 2, 3, 1, 1, 1
_NESTED = 0x8000
_LINK_BYTES = 16  # IFNAMSIZ
_AT_ONCE = 1000
"""Elements of one message: an attribute holds 64 KiB with what is nested in it, and the longest element takes 44 B."""


def key(link: str, rest: bytes = b"") -> bytes:
    """A name of a link, and what is concatenated to it."""
    return link.encode().ljust(_LINK_BYTES, b"\0") + rest + bytes(-len(rest) % 4)


def add(table: str, keys: Mapping[str, Collection[bytes]]) -> None:
    """Add keys to sets, by their names, of a table of the bridge family: all or none; one that is there is no error.

    Raises RuntimeFailureError.
    """
    batch = netlink.Batch(_frame(_BATCH_BEGIN), _frame(_BATCH_END))
    for name, found in keys.items():
        head = struct.pack("=BBH", _BRIDGE, 0, 0) + _text(_LIST_TABLE, table) + _text(_LIST_SET, name)
        elements = [*map(_element, found)]
        for begin in range(0, len(elements), _AT_ONCE):
            body = head + _nested(_LIST_ELEMENTS, b"".join(elements[begin : begin + _AT_ONCE]))
            batch.request(body, _NEWSETELEM, f"elements of set {name}", create=True)
    try:
        with netlink.open_socket(_NETFILTER) as opened:
            batch.send(opened)
    except OSError as error:  # more than a socket's buffer takes (EMSGSIZE), or no answer
        raise RuntimeFailureError(f"the kernel was not told of elements of table {table}: {error}") from error


def _frame(kind: int) -> bytes:
    """Beginning or end of a transaction; an error of the whole answers to its sequence number, 0."""
    return netlink.message(kind, struct.pack("=BBH", socket.AF_UNSPEC, 0, socket.htons(_NFTABLES)))


def _element(found: bytes) -> bytes:
    return _nested(_LIST_ELEM, _nested(_ELEM_KEY, netlink.attribute(_DATA_VALUE, found)))


def _text(kind: int, text: str) -> bytes:
    return netlink.attribute(kind, text.encode() + b"\0")


def _nested(kind: int, data: bytes) -> bytes:
    return netlink.attribute(kind | _NESTED, data)
