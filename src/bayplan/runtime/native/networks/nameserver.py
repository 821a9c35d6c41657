"""The name server of one core, and the hosts files of those that run, held to what is recorded.

Changes are told in batches: each asks for one soon, and whoever needs the names now waits for one that covers it. A
fault of the name server never fails a change, as the C libraries find peers in the hosts files; ``observe`` reports it.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bayplan.errors import BayplanError
from bayplan.models import Settings
from bayplan.runtime.native.networks.daemon import PORT, Daemon
from bayplan.runtime.native.networks.names import Names
from bayplan.runtime.native.networks.zones import Zone, zones
from bayplan.runtime.native.state import Database
from bayplan.system import sockets

_SOON_S = 0.1
_LOADED_S = 2.0
_OBSERVED_S = 1.0  # also before a reload that no change of the files asks for: during it old versions are deaf


@dataclass(frozen=True)
class Finding:
    """What is wrong with the names of a network: a defect is healed by ``settle``, a note is for the user to act on."""

    defect: str = ""
    note: str = ""


class NameServer:
    """Safe to use from many threads and processes."""

    def __init__(self, settings: Settings, database: Database, names: Names) -> None:
        self.settings, self.database, self.names = settings, database, names
        self.daemon = Daemon(settings.run_root / "names", settings.name_server)
        self._settling = threading.Lock()
        self._guard = threading.Lock()
        self._timer: threading.Timer | None = None
        self._asked = self._covered = 0
        self._stale: set[str] = set()
        self._known: frozenset[Zone] = frozenset()

    def serves(self, gateway: str) -> bool:
        """Whether containers can be told to ask the gateway."""
        return any(zone.gateway == gateway for zone in self._known) or not self._refusal(gateway)

    def changed(self, peers: Collection[str], *, networks: Collection[str] = (), at_once: bool = False) -> None:
        """Records changed, and the hosts files of ``peers`` are to follow.

        Returns at once; or when the server knows it, if one of ``networks`` is new to it or with ``at_once``.
        """
        with self._guard:
            self._asked += 1
            self._stale.update(peers)
            if self._timer is None:
                self._timer = threading.Timer(_SOON_S, self._settle_later)
                self._timer.daemon = True
                self._timer.start()
        if at_once or not {zone.network for zone in self._known}.issuperset(networks):
            self.settle()

    def settle(self, *, anyway: bool = False) -> None:
        """Return when hosts files and server tell what is recorded; the server has ended when no container needs it.

        Looks only if a change is open, or ``anyway``. A server that cannot is left to ``observe``.
        """
        asked = self._asked
        with self._settling:
            if self._covered >= asked and not anyway:
                return
            with self._guard:
                covered, stale, self._stale = self._asked, self._stale, set()
            try:
                with _alone(self.settings.run_root):
                    self._bring(stale)
            except (BayplanError, OSError):
                self._known = frozenset()
            self._covered = covered

    def close(self) -> None:
        """Let no reload be open."""
        with self._guard:
            timer, self._timer = self._timer, None
        if timer:
            timer.cancel()
            timer.join()
        self.settle()

    def observe(self, networks: Collection[str]) -> Mapping[str, Finding]:
        """What is wrong, by network; one without containers needs no names. Reads only."""
        running = self.daemon.find()
        found = {}
        recorded = zones(self.database) if networks else {}
        for name, zone in ((name, recorded[name]) for name in networks if name in recorded):
            refusal = self._refusal(zone.gateway)
            if refusal:
                found[name] = Finding(note=f"names are found by hosts files only: {refusal}")
            elif running is None:
                found[name] = Finding("its name server is not running")
            elif not zone.is_known(_OBSERVED_S):
                found[name] = Finding("its name server does not know its containers")
        return found

    def sockets(self) -> frozenset[str]:
        """The sockets (inode numbers) that this core's name server holds."""
        process = self.daemon.find()
        return sockets.sockets_of(process.pid) if process else frozenset()

    def _settle_later(self) -> None:
        with self._guard:
            self._timer = None
        self.settle()

    def _bring(self, stale: Collection[str]) -> None:
        recorded = zones(self.database).values()
        wanted = [zone for zone in recorded if not self._refusal(zone.gateway)]
        moved = [zone for zone in wanted if not self._is_written(zone)]
        # When an earlier change was cut, not all members of a zone that moved are in ``stale``. Before the zone is
        # written: cut here, the next run finds it to have moved once more.
        self.names.refresh({*stale, *(member for zone in moved for member in zone.members)})
        self._known = frozenset()
        if not wanted:
            self.daemon.stop()
            return
        gone = self._write(wanted, moved)
        process = self.daemon.find()
        if process is None:
            self.daemon.start()
        elif moved or gone or not all(zone.is_known(_OBSERVED_S) for zone in wanted):
            self.daemon.reload(process)
        self._known = frozenset(zone for zone in wanted if zone.is_known(_LOADED_S))

    def _is_written(self, zone: Zone) -> bool:
        try:
            return (self.daemon.directory / zone.file).read_text() == zone.text
        except FileNotFoundError:
            return False

    def _write(self, wanted: Collection[Zone], moved: Collection[Zone]) -> bool:
        """Bring the directory up to date. Whether the file of a zone that is no longer wanted was removed."""
        directory = self.daemon.directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = {self.daemon.pid_file.name, *(zone.file for zone in wanted)}
        gone = [path for path in directory.iterdir() if path.name not in kept]
        for path in gone:
            path.unlink()
        for zone in moved:
            # Written beside the directory: the server takes every file in it for a network.
            self.daemon.beside.write_text(zone.text)
            self.daemon.beside.rename(directory / zone.file)
        return bool(gone)

    def _refusal(self, gateway: str) -> str:
        """Why a network cannot be served; empty when it can."""
        if self.daemon.program is None:
            return f"{self.settings.name_server} is not installed (Debian package aardvark-dns)"
        for protocol in ("udp", "tcp"):
            if not sockets.is_free(gateway, PORT, protocol):
                held = sockets.listeners(gateway, PORT, protocol)
                if not held & self.sockets():
                    by = ", ".join(sockets.holders(held)) or "a process of another container"
                    return f"port {PORT}/{protocol} of {gateway} is taken by {by}"
        return ""


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold flock(2) on a directory itself, which leaves no file: processes take turns, the last sees every record."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
