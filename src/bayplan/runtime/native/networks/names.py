"""Names in hosts files: each container's lists its peers, kept up to date in place (hosts(5)).

The C libraries look there first and anew each time, so that they see a peer before it runs, and see it also when the
name server is away. What asks a name server itself is served by ``nameserver``. See docs/decisions/0004-names.md.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import zlib
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from sqlite3 import Row

from bayplan.errors import BayplanError
from bayplan.models import Settings
from bayplan.runtime.native.networks.zones import names_of
from bayplan.runtime.native.state import Database
from bayplan.system.files import read_begin

_log = logging.getLogger("bayplan.networks")
_MARK = b"# peers\n"
_OWN_BYTES = 64 * 1024  # a container can write its hosts file: never read more than this of it
_OWN = """
    WITH large AS (
        SELECT name FROM networks WHERE coalesce(json_extract(declared, '$.driver'), 'bridge') = 'bridge'
        AND (SELECT count(*) FROM endpoints WHERE network = name) > ?
    )
    SELECT c.id, json_extract(c.declared, '$.extra_hosts') AS extra, e.network, e.network IN large AS is_large
    FROM containers c LEFT JOIN endpoints e ON e.container_id = c.id
    WHERE c.id IN (SELECT value FROM json_each(?)) ORDER BY c.id, e.position
"""
_MEMBERS = """
    SELECT e.address, e.address6, e.aliases, c.id, c.name, c.service, c.superseded_by
    FROM endpoints e JOIN containers c ON c.id = e.container_id WHERE e.network = ? ORDER BY c.id
"""
_HOSTNAMES = """
    SELECT id, json_extract(declared, '$.hostname') FROM containers WHERE id IN (SELECT value FROM json_each(?))
"""
_GATEWAYS = """
    SELECT coalesce(nullif(n.gateway, ''), n.gateway6) FROM endpoints e JOIN networks n ON n.name = e.network
    WHERE e.container_id = ? ORDER BY coalesce(json_extract(n.declared, '$.driver'), 'bridge') != 'bridge', e.position
"""
"""Those of one container's networks, bridges first."""
_AT_ONCE = 64
"""Lists that are made of one reading of the records, and during whose writing no other list is written."""
_LISTED = 128
"""Members of a network up to which each lists all others; beyond, all lists would grow with their square."""
_SOON_S = 0.2
_PAUSE_TIMES = 10


class Names:
    """The hosts files of one core's containers. Safe to use from many threads.

    A container that starts gets its whole list at once. Those that run already learn of it a moment later, many changes
    together: written at each change, a hundred containers that start would make ten thousand files.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings, self.database = settings, database
        self._open = settings.run_root / "names-open"
        """There while a list is still to be written: the next process that changes the host then writes all of them."""
        self._begun = settings.run_root / "names-begun"
        """There while the lists are being written: one that was killed at it is seen by the next process."""
        self._lines: dict[tuple[str | None, ...], str] = {}
        self._pause_s = _SOON_S
        self._lock = threading.Lock()
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._timer: threading.Timer | None = None

    def write(self, *container_ids: str) -> None:
        """List the peers, as they are recorded now, in the containers' hosts files; one without a file is passed."""
        files = {item: self.settings.run_root / "containers" / item / "hosts" for item in container_ids}
        # Read and written under one lock: a list that was read earlier must not be written later.
        with self._lock:
            there = [item for item, path in files.items() if path.exists()]
            for container_id, peers in self._peers(there).items():
                try:
                    _rewrite(files[container_id], peers)
                except OSError as error:
                    if len(container_ids) == 1:
                        raise
                    _log.warning("hosts file of container %.12s: %s", container_id, error)

    def stale(self, container_ids: Sequence[str]) -> frozenset[str]:
        """Which of these have a hosts file without the peers that are recorded; none while lists are being written.

        What a container has written beside them is its own affair.
        """
        if self._open.exists() or self._begun.exists():
            return frozenset()
        wanted = self._peers(container_ids)
        return frozenset(item for item, peers in wanted.items() if peers not in self._held(item, len(peers)))

    def _held(self, container_id: str, length: int) -> bytes:
        path = f"{self.settings.run_root}/containers/{container_id}/hosts"
        return read_begin(path, _OWN_BYTES + length) or b""

    def changed(self) -> None:
        """Records changed: every hosts file is brought up to them soon, at the latest by ``close``."""
        with self._guard:
            if self._timer is None:
                self._open.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._open.touch()
                self._timer = threading.Timer(self._pause_s, self._write_meanwhile)
                self._timer.daemon = False  # torn off inside a library at the process's end, it could crash it
                self._timer.start()

    def recover(self) -> None:
        """Write what is still to be written, also by a process that was killed."""
        if self._open.exists() or self._begun.exists():
            self._write_all()

    def close(self) -> None:
        """Let no list be open, and no thread at work."""
        with self._guard:
            waiting = self._timer
        if waiting:
            waiting.cancel()
            waiting.join()
        with self._writing:
            pass
        self.recover()

    def _write_meanwhile(self) -> None:
        """What fails here is left open: ``close`` tries again, and says so."""
        try:
            self._write_all()
        except (OSError, BayplanError) as error:
            _log.debug("lists of peers are still to be written: %s", error)

    def _write_all(self) -> None:
        with self._writing:
            with self._guard:
                if self._timer:
                    self._timer.cancel()  # nobody waits for one whose work is done here
                self._timer = None
                # Before the records are read: what changes after that opens it anew.
                try:
                    self._open.rename(self._begun)
                except FileNotFoundError:
                    if not self._begun.exists():  # another thread has written what this one was to write
                        return
            began = time.monotonic()
            ids = [str(row[0]) for row in self.database.query("SELECT DISTINCT container_id FROM endpoints")]
            for begin in range(0, len(ids), _AT_ONCE):
                self.write(*ids[begin : begin + _AT_ONCE])
            self._begun.unlink(missing_ok=True)
            # Many lists take long: the change under way is not held up by them for more than a small part of the time.
            self._pause_s = max(_SOON_S, _PAUSE_TIMES * (time.monotonic() - began))

    def _peers(self, container_ids: Sequence[str]) -> dict[str, bytes]:
        """What each of them lists. The members of a network are read once for all."""
        members: dict[str, list[str]] = {}
        found: dict[str, bytes] = {}
        rows = self.database.query(_OWN, (_LISTED, json.dumps(container_ids)))
        for container_id, own in groupby(rows, itemgetter("id")):
            attached = list(own)
            listed = [row for row in attached if row["network"] is not None]
            if any(row["is_large"] for row in listed) and self._asks_us(container_id):
                listed = [row for row in listed if not row["is_large"]]
            lines: list[str] = []
            for network in (row["network"] for row in listed):
                peers = members.get(network)
                if peers is None:
                    peers = members[network] = self._members(self.database.query(_MEMBERS, (network,)))
                # Some libraries take the first line only: each begins elsewhere, so that all replicas are asked.
                begin = zlib.crc32(container_id.encode()) % max(1, len(peers))  # the last one may have left meanwhile
                lines += peers[begin:] + peers[:begin]
            lines += self._extra(container_id, attached[0]["extra"])
            found[container_id] = "".join(lines).encode()
        return found

    def _extra(self, container_id: str, declared: str | None) -> list[str]:
        extra = json.loads(declared or "{}")
        pairs = [(name, one) for name, value in extra.items() for one in value.split(",")]
        host = self._host_gateway(container_id) if any(one == "host-gateway" for _, one in pairs) else ""
        return [f"{host if one == 'host-gateway' else one}\t{name}\n" for name, one in pairs]

    def _asks_us(self, container_id: str) -> bool:
        """Whether it has our name server, which knows every peer; one that has not needs the whole list."""
        rows = self.database.query(_GATEWAYS, (container_id,))
        try:
            text = (self.settings.run_root / "containers" / container_id / "resolv.conf").read_bytes()[:_OWN_BYTES]
        except OSError:
            return False
        told = [line.split()[1:2] for line in text.decode(errors="replace").splitlines() if "nameserver" in line]
        return any([str(row[0])] in told for row in rows)

    def _members(self, members: Sequence[Row]) -> list[str]:
        """The lines of hosts(5) for each peer, made once for all that list it."""
        new = [row for row in members if tuple(row) not in self._lines]
        # Asked for here alone: to look for it in the declaration of each peer would take longest of a start.
        wanted = (json.dumps([row["id"] for row in new]),)
        hostnames = dict(map(tuple, self.database.query(_HOSTNAMES, wanted))) if new else {}
        for row in new:
            called = " ".join(names_of(row, hostnames.get(row["id"])))
            addresses = [one for one in (row["address"], row["address6"]) if one]
            self._lines[tuple(row)] = "".join(f"{one}\t{called}\n" for one in addresses)
        return [self._lines[tuple(row)] for row in members]

    def _host_gateway(self, container_id: str) -> str:
        """The host as the container sees it: the gateway of its first network, loopback when it shares the host's."""
        rows = self.database.query(_GATEWAYS, (container_id,))
        return str(rows[0][0]) if rows else "127.0.0.1"


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
