"""Names in hosts files: each container's lists its peers, kept up to date in place (hosts(5)).

The C libraries look there first and anew each time, so that they see a peer before it runs, and see it also when the
name server is away. What asks a name server itself is served by ``nameserver``. See docs/decisions/0004-names.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from bayplan.models import Settings
from bayplan.runtime.native.networks.zones import names_of
from bayplan.runtime.native.state import Database

_MARK = b"# peers\n"
_OWN_BYTES = 64 * 1024  # a container can write its hosts file: never read more than this of it
_RECORDED = """
    SELECT e.container_id, e.network, e.position, e.address, e.aliases, c.id, c.name, c.service, c.declared
    FROM endpoints e JOIN containers c ON c.id = e.container_id ORDER BY e.position
"""


@dataclass(frozen=True)
class _Member:
    container_id: str
    network: str
    address: str
    names: str


class Names:
    """The hosts files of one core's containers. Safe to use from many threads."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings, self.database = settings, database
        self._lock = threading.Lock()

    def neighbours(self, container_id: str) -> set[str]:
        """The containers on its networks, itself included."""
        rows = self.database.query(
            "SELECT peer.container_id FROM endpoints own JOIN endpoints peer ON peer.network = own.network"
            " WHERE own.container_id = ?",
            (container_id,),
        )
        return {str(row[0]) for row in rows}

    def refresh(self, container_ids: Collection[str]) -> None:
        """List the peers, as they are recorded now, in these containers' hosts files; one without a file is passed."""
        # Read and written under one lock: a list that was read earlier must not be written later.
        with self._lock:
            rows = self.database.query(_RECORDED) if container_ids else []
            members = [
                _Member(row["container_id"], row["network"], row["address"], " ".join(names_of(row))) for row in rows
            ]
            for container_id in container_ids:
                text = self._peers(container_id, members) + self._declared(container_id)
                _rewrite(self.settings.run_root / "containers" / container_id / "hosts", text.encode())

    def _peers(self, container_id: str, members: Sequence[_Member]) -> str:
        own = [item.network for item in members if item.container_id == container_id]
        peers = [item for item in members if item.network in own]
        # Some libraries take the first line only: another order in each container spreads them over the replicas.
        peers.sort(key=lambda item: (own.index(item.network), _rank(container_id, item.container_id)))
        return "".join(f"{item.address}\t{item.names}\n" for item in peers)

    def _declared(self, container_id: str) -> str:
        lines = []
        for row in self.database.query("SELECT declared FROM containers WHERE id = ?", (container_id,)):
            extra = json.loads(row["declared"]).get("extra_hosts") or {}
            host = self._host_gateway(container_id) if extra else ""
            lines += [f"{host if value == 'host-gateway' else value}\t{name}\n" for name, value in extra.items()]
        return "".join(lines)

    def _host_gateway(self, container_id: str) -> str:
        """The host as the container sees it: the gateway of its first network, loopback when it shares the host's."""
        rows = self.database.query(
            "SELECT n.gateway FROM endpoints e JOIN networks n ON n.name = e.network"
            " WHERE e.container_id = ? ORDER BY e.position LIMIT 1",
            (container_id,),
        )
        return str(rows[0][0]) if rows else "127.0.0.1"


def _rank(container_id: str, peer_id: str) -> bytes:
    return hashlib.sha256(f"{container_id} {peer_id}".encode()).digest()


def _rewrite(path: Path, peers: bytes) -> None:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        # In place: the container has this inode bound on /etc/hosts, a renamed file would never reach it.
        held = os.pread(fd, _OWN_BYTES, 0)
        text = held.partition(_MARK)[0] + _MARK + peers
        os.pwrite(fd, text, 0)
        os.ftruncate(fd, len(text))
    finally:
        os.close(fd)
