"""Who asks. Pulumi knows no credentials for plugins, and a port of loopback is open to every user of the machine.

The engine behind this plugin makes containers as root, so only root, the plugin's own user and who called sudo may ask.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import re
import sys
from pathlib import Path

from bayplan.errors import AccessDeniedError

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_PEER = re.compile(r"ipv4:127\.0\.0\.1:(\d+)")
_ADDRESSES = ("127.0.0.1", "::ffff:127.0.0.1")
"""Of a socket of IPv4, and of one of both, as gRPC's own clients have it."""
_ESTABLISHED = "01"
_LOOKS = 3
"""A row can be passed over while others come and go."""


def check(peer: str, port: int) -> None:
    """Raise AccessDeniedError for a peer (as gRPC writes it) of our ``port`` that is another user's.

    Hosts without /proc cannot tell.
    """
    found = _PEER.fullmatch(peer)
    if found is None or not TABLES[0].exists():
        return
    owner = _owner(int(found[1]), port)
    if owner not in _allowed():
        who = "somebody who has gone" if owner is None else f"user {owner}"
        raise AccessDeniedError(f"{who} may not ask this plugin", hint="run Pulumi and the plugin as one user")


def _owner(port: int, ours: int) -> int | None:
    """The user whose connection it is, from ``port`` to ``ours``; None when there is none any more.

    Only an open connection counts (proc_net_tcp, "uid"): the kernel shows one that was closed as root's.
    """
    here = f"(?:{'|'.join(map(_written, _ADDRESSES))})"
    ends = f"{here}:{port:04X} {here}:{ours:04X}"
    row = re.compile(rf"^ *\d+: {ends} {_ESTABLISHED} \S+ \S+ \S+ +(\d+) ", re.MULTILINE)
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


def _allowed() -> set[int]:
    called_sudo = os.environ.get("SUDO_UID", "")
    return {0, os.geteuid(), *([int(called_sudo)] if called_sudo.isdecimal() else [])}
