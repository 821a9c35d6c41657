"""Whose a connection over loopback is."""

from __future__ import annotations

import functools
import ipaddress
import re
import socket
import struct
import sys
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LOOPBACK = "127.0.0.1"
_MAPPED = "::ffff:127.0.0.1"
"""As a socket of both families has it, such as those of gRPC's clients."""
_LOOKS = 3
"""A row can be passed over while others come and go."""
_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _REQUEST = 4, 20, 1
"""NETLINK_SOCK_DIAG, its one message, and NLM_F_REQUEST (sock_diag(7), linux/sock_diag.h)."""
_ESTABLISHED = 1
_STATE, _UID = 17, 80
"""Places of ``idiag_state`` and ``idiag_uid`` in the answer, its header counted (linux/inet_diag.h)."""


def owner(source: int, target: int) -> int | None:
    """The user whose connection it is, from the port ``source`` to ``target``; None when there is none any more.

    Only an open connection counts (proc_net_tcp, "uid"): the kernel shows one that was closed as root's.
    """
    found = _asked(source, target)
    return _listed(source, target) if found is None else found


def _asked(source: int, target: int) -> int | None:
    """By the kernel's own search, some microseconds. None as well where the kernel has no ``inet_diag``."""
    here = socket.inet_aton(_LOOPBACK).ljust(16, b"\0")
    name = struct.pack("!HH16s16s12s", source, target, here, here, b"\0" * 4 + b"\xff" * 8)  # any link, any cookie
    asked = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, 1 << _ESTABLISHED) + name
    header = struct.pack("=IHHII", 16 + len(asked), _SOCK_DIAG_BY_FAMILY, _REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as kernel:
            kernel.settimeout(1)
            kernel.sendto(header + asked, (0, 0))
            answer = kernel.recv(4096)
    except OSError:
        return None
    if struct.unpack_from("=H", answer, 4)[0] != _SOCK_DIAG_BY_FAMILY or answer[_STATE] != _ESTABLISHED:
        return None
    return int(struct.unpack_from("=I", answer, _UID)[0])


def _listed(source: int, target: int) -> int | None:
    """By the tables of all connections, which take the kernel milliseconds on a machine with much memory."""
    here = f"(?:{'|'.join(map(_written, (_LOOPBACK, _MAPPED)))})"
    ends = f"{here}:{source:04X} {here}:{target:04X}"
    row = re.compile(rf"^ *\d+: {ends} {_ESTABLISHED:02X} \S+ \S+ \S+ +(\d+) ", re.MULTILINE)
    for table in TABLES * _LOOKS:
        found = row.search(table.read_text() if table.exists() else "")
        if found is not None:
            return int(found[1])
    return None


@functools.cache
def _written(address: str) -> str:
    """An address as these tables have it: words of four bytes, in the order of this machine."""
    packed = ipaddress.ip_address(address).packed
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
