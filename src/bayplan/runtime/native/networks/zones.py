"""What the name server is told of each network, made from the records, and the question whether it knows it.

A zone is a file of aardvark-dns (its config.md): the gateway's address, then a line for each container. One more line
carries a name made from the rest, so that a single query tells whether the running server has read exactly this file.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
import time
from collections.abc import Iterable
from sqlite3 import Row

from bayplan.runtime.native.networks.daemon import DOMAIN, PORT
from bayplan.runtime.native.state import Database
from bayplan.values import frozen

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
_NOWHERE = "255.255.255.255"  # refused at once by the kernel (ip(7), SO_BROADCAST): the query never leaves the host
_RECORDED = """
    SELECT n.name AS network, n.bridge, coalesce(nullif(n.gateway, ''), n.gateway6) AS gateway,
           n.declared AS network_declared, e.container_id, e.aliases,
           e.address, e.address6, c.id, c.name, c.service, c.superseded_by,
           json_extract(c.declared, '$.hostname') AS hostname
    FROM endpoints e JOIN networks n ON n.name = e.network LEFT JOIN containers c ON c.id = e.container_id
    WHERE coalesce(json_extract(n.declared, '$.driver'), 'bridge') = 'bridge'
    ORDER BY n.bridge, c.name, e.address
"""
_ATTEMPT_S = 0.05
_POLL_S = 0.002
_SHORT_ID = 12


@frozen
class Zone:
    """One network as the name server is told of it."""

    network: str
    gateway: str
    file: str
    body: str

    @property
    def marker(self) -> str:
        """The name that only a server which has read this content can answer for."""
        return "g" + hashlib.sha256(self.body.encode()).hexdigest()[:16]

    @property
    def text(self) -> str:
        """Content of the file."""
        return f"{self.gateway}\nmarker 0.0.0.0  {self.marker}\n{self.body}"

    def is_known(self, timeout_s: float) -> bool:
        """Whether the server on the gateway has read this content, asked again until the time is over."""
        deadline = time.monotonic() + timeout_s
        while not _answers(self.gateway, f"{self.marker}.{DOMAIN}"):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        return True


def names_of(row: Row, hostname: str | None) -> tuple[str, ...]:
    """What a container is called on a network: service, name, aliases, first digits of its id, host name.

    What is no name (a space would end it in hosts(5)) is left out. One that waits beside its predecessor, or its
    successor, is called by its id alone.
    """
    if row["superseded_by"] is not None:
        return (str(row["id"][:_SHORT_ID]),)
    aliases = json.loads(row["aliases"])
    every = (row["service"], row["name"], *aliases, row["id"][:_SHORT_ID], hostname)
    return tuple(dict.fromkeys(name for name in every if name and _NAME.fullmatch(name)))


def zones(database: Database) -> dict[str, Zone]:
    """A zone for each bridge network that has containers, by the network's name; others have no gateway of ours."""
    rows = database.query(_RECORDED)
    internal = {row["network"]: _is_internal(row) for row in {row["network"]: row for row in rows}.values()}
    outside = {row["container_id"] for row in rows if not internal[row["network"]]}
    found: dict[str, Zone] = {}
    for network in dict.fromkeys(row["network"] for row in rows):
        members = [row for row in rows if row["network"] == network]
        first = members[0]
        # The suffix tells newer versions (1.11) not to ask others for containers of internal networks only ...
        file = f"{first['bridge']}%int" if _is_internal(first) else first["bridge"]
        found[network] = Zone(network, first["gateway"], file, _body(members, outside))
    return found


def _body(members: Iterable[Row], outside: set[str]) -> str:
    lines = []
    for row in members:
        if row["id"] is not None:
            # ... older ones are given a server that cannot be reached. Others ask those of the host.
            upstream = "" if row["id"] in outside else f" {_NOWHERE}"
            addresses = f"{row['address']} {row['address6']}"
            lines.append(f"{row['id']} {addresses} {','.join(names_of(row, row['hostname'])).lower()}{upstream}\n")
    return "".join(lines)


def _is_internal(row: Row) -> bool:
    return bool(json.loads(row["network_declared"]).get("internal"))


def _answers(server: str, name: str) -> bool:
    """Whether the server has an IPv4 address for the name (RFC 1035, section 4.1)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack(">6H", 1, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(_ATTEMPT_S)
        try:
            # Bound to the gateway itself: without the bridge the query would go to the host's own gateway.
            asker.bind((server, 0))
            asker.connect((server, PORT))
            asker.send(query)
            answer = asker.recv(512)
        except OSError:
            return False
    flags, _, answers = struct.unpack(">3H", answer[2:8]) if len(answer) >= len(query) else (3, 0, 0)
    return not flags & 0xF and answers > 0
