"""Ports that replicas of one service share: which of them take new connections now.

Those that run and are not found unhealthy; while some are healthy, only these. When none is left that is not unhealthy,
all that run, as a single container would be asked too. Read and written under one lock, which processes take in turn:
an apply and the supervisor both speak here, and the last of them has seen every record.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Row

from bayplan.runtime.native.networks import conntrack
from bayplan.runtime.native.networks.firewall import Firewall
from bayplan.runtime.native.networks.held import Held, Key, Published
from bayplan.runtime.native.state.database import Database
from bayplan.system.processes import Process, boot_id

_SHARED = """
    SELECT DISTINCT a.host_ip, a.published, a.protocol FROM ports a JOIN ports b ON a.host_ip = b.host_ip
    AND a.published = b.published AND a.protocol = b.protocol AND a.container_id != b.container_id
"""
_MEMBERS = """
    SELECT p.*, c.wanted, c.superseded_by, c.pid, c.pid_start, c.boot_id, h.status AS health FROM ports p
    JOIN containers c ON c.id = p.container_id LEFT JOIN health h ON h.container_id = c.id
    WHERE p.host_ip = ? AND p.published = ? AND p.protocol = ? ORDER BY c.name
"""


class Balance:
    """The shared ports of one core."""

    def __init__(self, state_root: Path, firewall: Firewall, database: Database) -> None:
        self.state_root, self.firewall, self.database = state_root, firewall, database

    def shared(self, container_id: str = "") -> list[Key]:
        """The ports that several containers have, of one container or of all."""
        only = (" WHERE a.container_id = ?", (container_id,)) if container_id else ("", ())
        return [(row[0], row[1], row[2]) for row in self.database.query(_SHARED + only[0], only[1])]

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold flock(2) on the state's directory, which leaves no file. Short: never over the end of a container."""
        fd = os.open(self.state_root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def settle(self, keys: Iterable[Key]) -> None:
        """Bring the kernel up to the records."""
        keys = tuple(keys)
        if keys:
            with self.turn():
                self.settle_now(keys)

    def settle_now(self, keys: Iterable[Key]) -> None:
        """The same, for who has its turn: all of them in one transaction of the kernel."""
        found = {key: self.members(key) for key in keys}
        self.firewall.route(found)
        for key, members in found.items():
            every = [Published(*key, row["address"], row["target"]) for row in self.database.query(_MEMBERS, key)]
            conntrack.forget([item for item in every if item not in members])

    def members(self, key: Key) -> list[Published]:
        """Who takes new connections of this port, by the records and the processes."""
        rows = [row for row in self.database.query(_MEMBERS, key) if row["wanted"] == "running" and _runs(row)]
        rows = [row for row in rows if row["superseded_by"] is None]
        best = [row for row in rows if row["health"] in (None, "healthy")]
        able = [row for row in rows if row["health"] != "unhealthy"]
        return [Published(*key, row["address"], row["target"]) for row in best or able or rows]

    def is_so(self, key: Key, held: Held) -> bool:
        """Whether the kernel had it as the records say; one member or none is an element of the plain map."""
        members = self.members(key)
        if len(members) > 1:
            return held.leads_to(members)
        return not members or (held.is_open(members[0]) and not held.is_balanced(key))


def _runs(row: Row) -> bool:
    pid, start, boot = row["pid"], row["pid_start"], row["boot_id"]
    return pid is not None and bool(start) and boot == boot_id() and Process(pid, start).alive
