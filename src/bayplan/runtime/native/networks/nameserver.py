"""The name server of one core, held to what is recorded.

Reloads are batched: a change asks for one soon, and whoever needs the names now waits for one that covers it. A fault
of the name server never fails a change, as the C libraries find peers in the hosts files; ``observe`` reports it.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bayplan.errors import BayplanError
from bayplan.models import Settings
from bayplan.runtime.native.networks.daemon import PORT, Daemon
from bayplan.runtime.native.networks.zones import Zone, zones
from bayplan.runtime.native.state import Database
from bayplan.system import sockets
from bayplan.values import frozen

_SOON_S = 0.1
_PAUSE_TIMES = 10  # a reload waits this many times as long as the last one took: they take a small part of the time
_LOADED_S = 2.0
_ANSWER_HOLDS_S = 1.0
_CLOSING_S = 0.2  # a killed process of many threads is gone a moment before its last thread closes its sockets
_OBSERVED_S = 1.0  # also before a reload that no change of the files asks for: during it old versions are deaf


@frozen
class Finding:
    """What is wrong with the names of a network: a defect is healed by ``settle``, a note is for the user to act on."""

    defect: str = ""
    note: str = ""


class NameServer:
    """Safe to use from many threads and processes."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings, self.database = settings, database
        self.daemon = Daemon(settings.run_root / "names", settings.name_server)
        self._settling = threading.Lock()
        self._guard = threading.Lock()
        self._timer: threading.Timer | None = None
        self._asked = self._covered = 0
        self._pause_s = _SOON_S
        self._known: frozenset[str] = frozenset()
        self._refused: dict[str, tuple[float, str]] = {}
        """Gateway to the moment it was asked whether it can be served, and what is against it."""

    def serves(self, gateway: str) -> bool:
        """Whether containers can be told to ask the gateway, as it was a moment ago at the most."""
        asked, refusal = self._refused.get(gateway, (float("-inf"), ""))
        if time.monotonic() - asked > _ANSWER_HOLDS_S:
            refusal = self._refusal(gateway)
            self._refused[gateway] = (time.monotonic(), refusal)
        return not refusal

    def changed(self, *, networks: Collection[str] = (), at_once: bool = False) -> None:
        """Records changed. Returns at once; or when they are known to the server, if one of ``networks`` is new to it.

        ``at_once`` waits in any case.
        """
        with self._guard:
            self._asked += 1
            if self._timer is None:
                self._timer = threading.Timer(self._pause_s, self._settle_later)
                self._timer.daemon = False  # torn off inside a library at the process's end, it could crash it
                self._timer.start()
        if at_once or not self._known.issuperset(networks):
            self.settle()

    def settle(self, *, anyway: bool = False) -> None:
        """Return when the server runs and knows what is recorded, or has ended as no container needs it.

        Only if a change is open, or ``anyway``. A server that cannot is left to ``observe``.
        """
        asked = self._asked
        with self._settling:
            if self._covered >= asked and not anyway:
                return
            covered, began = self._asked, time.monotonic()
            try:
                with _alone(self.settings.run_root):
                    self._bring()
            except (BayplanError, OSError):
                self._known = frozenset()
            self._covered = covered
            self._pause_s = max(_SOON_S, _PAUSE_TIMES * (time.monotonic() - began))

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

    def _bring(self) -> None:
        recorded = zones(self.database).values()
        wanted = [zone for zone in recorded if not self._refusal(zone.gateway)]
        if not wanted:
            self._known = frozenset()
            self.daemon.stop()
            return
        moved = self._write(wanted)
        process = self.daemon.find()
        if process is None:
            self.daemon.start()
        elif moved or not all(zone.is_known(_OBSERVED_S) for zone in wanted):
            self.daemon.reload(process)
        self._known = frozenset(zone.network for zone in wanted if zone.is_known(_LOADED_S))

    def _write(self, wanted: Collection[Zone]) -> bool:
        """Bring the directory up to date. Whether something changed."""
        directory = self.daemon.directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        texts = {zone.file: zone.text.encode() for zone in wanted}
        moved = False
        for path in directory.iterdir():
            if path.name not in texts and path != self.daemon.pid_file:
                path.unlink()
                moved = True
        for name, text in texts.items():
            path = directory / name
            if not path.exists() or path.read_bytes() != text:
                # Written beside the directory: the server takes every file in it for a network.
                self.daemon.beside.write_bytes(text)
                self.daemon.beside.rename(path)
                moved = True
        return moved

    def _refusal(self, gateway: str) -> str:
        """Why a network cannot be served; empty when it can."""
        if self.daemon.program is None:
            return f"{self.settings.name_server} is not installed (Debian package aardvark-dns)"
        for protocol in ("udp", "tcp"):
            deadline = time.monotonic() + _CLOSING_S
            while not sockets.is_free(gateway, PORT, protocol):
                held = sockets.listeners(gateway, PORT, protocol)
                if held & self.sockets():
                    break
                by = ", ".join(sockets.holders(held))
                if by or time.monotonic() >= deadline:
                    return f"port {PORT}/{protocol} of {gateway} is taken by {by or 'a process of another container'}"
                time.sleep(_CLOSING_S / 10)
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
