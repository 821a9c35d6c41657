"""The hand-given verbs of the native core (``bayplan.runtime.verbs``), over its containers and networks.

What a single verb needs is loaded by it: an apply, which needs none of it, shall begin soon.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from bayplan.errors import ConflictError
from bayplan.models import Duration, Endpoint, Kind, ResourceId, Settings, VolumeMount
from bayplan.runtime.native.containers import Containers
from bayplan.runtime.native.containers import verbs as hand
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.images.images import Images
from bayplan.runtime.native.lives import Lives
from bayplan.runtime.native.networks import Networks
from bayplan.runtime.native.state import Database, happenings
from bayplan.runtime.native.volumes import Volumes
from bayplan.runtime.protocol import Observed, Scope, Snapshot, never
from bayplan.runtime.verbs import Finding, Happening
from bayplan.system import cgroups

if TYPE_CHECKING:
    from bayplan.system.process_table import ProcessRow
    from bayplan.system.usage import Usage


class NativeVerbs:
    """The half of ``NativeRuntime`` that people's verbs need."""

    containers: Containers
    networks: Networks
    volumes: Volumes
    images: Images
    database: Database
    settings: Settings
    lives: Lives

    def kill(self, name: str, signal: str = "SIGKILL") -> None:
        """Send a signal."""
        hand.kill(self.containers, self._id(name), signal)

    def pause(self, name: str) -> None:
        """Freeze it."""
        hand.pause(self.containers, self._id(name))

    def unpause(self, name: str) -> None:
        """Let it go on."""
        hand.unpause(self.containers, self._id(name))

    def rename(self, name: str, new_name: str) -> None:
        """Give it another name; hosts files and the name server follow at the end of the change."""
        container_id = self._id(name)
        if self.containers.find(new_name) is not None:
            raise ConflictError(f"a container named {new_name} exists", hint="remove or rename it first")
        self.containers.rename(container_id, new_name)
        self.containers.note(container_id, "rename", f"was {name}")
        self.networks.names.changed()

    def connect(self, name: str, endpoint: Endpoint) -> None:
        """Put it on a network."""
        from bayplan.runtime.native import reconnect

        reconnect.connect(self.networks, self.containers, name, endpoint)

    def disconnect(self, name: str, network: str, *, force: bool = False) -> None:
        """Take it off a network."""
        from bayplan.runtime.native import reconnect

        reconnect.disconnect(self.networks, self.containers, name, network, force=force)

    def happened(self) -> Sequence[Happening]:
        """What happened to containers, oldest first."""
        unnoticed = "SELECT id FROM containers WHERE pid IS NOT NULL AND finished_at IS NULL AND phase = 'created'"
        for row in self.database.query(unnoticed):
            self.containers.status(row["id"])  # an end that nobody has seen yet is noted by whoever looks first
        return list(happenings.read(self.settings.state_root))

    def damaged(self) -> Sequence[Finding]:
        """Looked up by reading everything."""
        from bayplan.runtime.native.soundness import findings

        return list(findings(self.images, self.containers, self.volumes))

    def await_end(self, name: str, *, stopped: Callable[[], bool] | None = None) -> int:
        """Wait for its end."""
        return hand.await_end(self.containers, self._id(name), stopped or never)

    def processes(self, name: str) -> Sequence[ProcessRow]:
        """What runs in its cgroup."""
        from bayplan.system import process_table

        container_id = self._id(name)
        hand.running(self.containers, container_id)
        return process_table.rows(cgroups.members(Paths.of(self.settings, container_id).cgroup))

    def usage(self, name: str) -> Usage:
        """What its cgroup and the links of its network namespace count."""
        from bayplan.system import usage

        container_id = self._id(name)
        process = self.containers.process(container_id)
        if process is None:
            return usage.Usage()
        own = self.containers.declared(container_id).network_mode != "host"
        return usage.read(Paths.of(self.settings, container_id).cgroup, process.pid if own else None)

    def inspect(self, name: str) -> Mapping[str, Any]:
        """Its record and what is now."""
        from bayplan.runtime.native.containers.inspect import inspect
        from bayplan.runtime.native.networks import shown

        container_id = self._id(name)
        rows = self.database.query(
            "SELECT e.*, n.subnet, n.gateway, n.subnet6, n.gateway6, n.declared FROM endpoints e"
            " JOIN networks n ON n.name = e.network WHERE e.container_id = ? ORDER BY e.position",
            (container_id,),
        )
        endpoints = [{**dict(row), **shown.ranges_of_endpoint(row)} for row in rows]
        places = {name: str(path) for name, path in self._volumes_of(container_id).items()}
        return inspect(self.containers, container_id, endpoints, places)

    def _volumes_of(self, container_id: str) -> dict[str, Path]:
        mounts = self.containers.declared(container_id).mounts
        return {item.source: self.volumes.path(item.source) for item in mounts if isinstance(item, VolumeMount)}

    def attach(
        self, name: str, *, stdin: bool = True, detach_keys: bytes = b"\x10\x11", sig_proxy: bool = True
    ) -> int | None:
        """Join the caller's streams to its own."""
        from bayplan.runtime.native.containers.attach import attach

        container_id = self._id(name)
        process = hand.running(self.containers, container_id)
        tty = self.containers.declared(container_id).tty
        paths = Paths.of(self.settings, container_id)
        # With a terminal the keys themselves go on, and its own driver makes signals of them.
        ended = attach(paths, tty=tty, stdin=stdin, keys=detach_keys, tell=process if sig_proxy and not tty else None)
        return hand.await_end(self.containers, container_id) if ended else None

    def start_attached(self, name: str, *, stdin: bool = True, detach_keys: bytes = b"\x10\x11") -> int | None:
        """Start it with the caller's streams joined."""
        from bayplan.runtime.native.containers import attach
        from bayplan.runtime.native.containers.starting import Caller
        from bayplan.system import terminal

        container_id = self._id(name)
        paths, tty = Paths.of(self.settings, container_id), self.containers.declared(container_id).tty
        joined: list[socket.socket] = []
        caller = Caller(lambda: joined.append(attach.connected(paths)), terminal.window(1) if tty else None)
        with self.lock(f"start of {name}"):
            if self.containers.process(container_id):
                raise ConflictError(f"container {name} is running", hint="attach to it")
            self.lives.start(container_id, 0, caller)
        told = None if tty else self.containers.process(container_id)
        ended = attach.carry(joined[0], paths, tty=tty, stdin=stdin, keys=detach_keys, tell=told)
        return hand.await_end(self.containers, container_id) if ended else None

    def copy_out(self, name: str, path: str, target: str | None, sink: IO[bytes], *, follow: bool = False) -> None:
        """Copy a path of it to the host."""
        from bayplan.runtime.native.containers import copy
        from bayplan.system import copying

        container_id = self._id(name)

        def work(root: int) -> None:
            wanted = copying.led_to(root, path) if follow else path
            own = "" if path.endswith("/.") else Path(path).name  # a link is copied under its own name
            if target is None:
                copying.read(root, wanted, sink, own)
                return
            with copying.host_root() as host, tempfile.TemporaryFile() as spool:
                whole = str(Path(target).absolute()) + "/" * target.endswith("/")
                head, called = copying.place(copying.looker(host), path, whole)
                copying.read(root, wanted, spool, called)
                spool.seek(0)
                copying.write(host, head, spool)

        copy.with_root(self.containers, container_id, path, work, self._volumes_of(container_id))

    def copy_in(self, name: str, source: str | None, path: str, stream: IO[bytes], *, follow: bool = False) -> None:
        """Copy from the host to a path of it."""
        from bayplan.runtime.native.containers import copy
        from bayplan.system import copying

        container_id = self._id(name)

        def work(root: int) -> None:
            if source is None:
                copying.write(root, path, stream)
                return
            given = str(Path(source).absolute()) + ("/." if source.endswith("/.") else "")
            with copying.host_root() as host, tempfile.TemporaryFile() as spool:
                head, called = copying.place(copying.looker(root), given, path)
                copying.read(host, copying.led_to(host, given) if follow else given, spool, called)
                spool.seek(0)
                copying.write(root, head, spool)

        copy.with_root(self.containers, container_id, path, work, self._volumes_of(container_id))

    def containers_there(self) -> list[Observed]:
        """Every container, but for those that an interrupted replacement left."""
        names = [row["name"] for row in self.database.query("SELECT name FROM containers")]
        found = self.observe(Scope(names=tuple(ResourceId(kind=Kind.CONTAINER, name=name) for name in names)))
        return [item for item in found.of(Kind.CONTAINER) if not item.superseded]

    def networks_there(self) -> list[tuple[Observed, tuple[str, ...]]]:
        """Every network, with its users."""
        from bayplan.runtime.native.networks import shown

        return shown.there(self.networks)

    def inspect_network(self, name: str) -> Mapping[str, Any]:
        """Its record and what is on it."""
        from bayplan.runtime.native.networks import shown

        return shown.inspect(self.networks, name)

    def volumes_there(self) -> list[tuple[Observed, tuple[str, ...]]]:
        """Every volume, with its users."""
        found = self.volumes.observe(None, everything=True)
        return [(item, tuple(self.volumes.users(item.id.name))) for item in found]

    def export_volume(self, name: str, out: BinaryIO) -> None:
        """Its content as a tar archive."""
        self.volumes.export(name, out)

    def import_volume(self, name: str, source: BinaryIO, *, replace: bool = False) -> None:
        """Its content from a tar archive."""
        self.volumes.load(name, source, replace=replace)

    def observe(self, scope: Scope) -> Snapshot:
        """What is there."""
        raise NotImplementedError  # pragma: no cover - NativeRuntime has it

    def lock(self, purpose: str, timeout: Duration | None = None) -> AbstractContextManager[None]:
        """Hold the host for a change."""
        raise NotImplementedError  # pragma: no cover - NativeRuntime has it

    def _id(self, name: str) -> str:
        raise NotImplementedError  # pragma: no cover - NativeRuntime has it
