"""Containers with their records: the room's public face.

The record is written before anything else and removed last. The bundle is kept in it and written to the run root at
each start, so that a container outlives a reboot.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from bayplan.errors import RuntimeFailureError, UnsupportedError
from bayplan.models import Container, Duration
from bayplan.runtime import seal
from bayplan.runtime.native.containers import (
    drift,
    grants,
    groups,
    health,
    held,
    lifecycle,
    making,
    resolver,
    starting,
    storage,
)
from bayplan.runtime.native.containers.observations import EXIT_FILE_S, Observations
from bayplan.runtime.native.containers.records import declaration, now, placed
from bayplan.runtime.native.containers.spec import (
    changes,
    image_mounts,
    lift,
    limits,
    users,
)
from bayplan.runtime.native.images.stored import ImageConfig
from bayplan.runtime.native.state import happenings
from bayplan.runtime.native.supervisor import client
from bayplan.runtime.native.supervisor.place import tidy_cgroups
from bayplan.runtime.native.supervisor.records import begin_health, note_death
from bayplan.system import cgroups, freezer, namespaces
from bayplan.system.files import private_directory
from bayplan.system.processes import Process, boot_id
from bayplan.system.signals import signal_number

IN_PLACE = frozenset(
    (
        *("labels", "resources", "restart", "healthcheck", "stop_signal", "stop_grace_period"),
        *("post_start", "pre_stop"),
    )
)
"""Fields that ``update`` changes on a running container."""


class Containers(Observations):
    """All containers of one core. Safe to use from many threads, one at a time for each container."""

    def find(self, name: str) -> str | None:
        """Id of the container of that name; None when there is none."""
        row = self.records.find(name)
        return None if row is None else str(row["id"])

    def declared(self, container_id: str) -> Container:
        """What was last applied. Raises NotFoundError."""
        return declaration(self.records.get(container_id)["declared"])

    def placed(self, container_id: str) -> Container:
        """The same on the networks that it is on, also by hand. Raises NotFoundError."""
        return placed(self.records.get(container_id))

    def reserve(
        self, container_id: str, container: Container, project: str, image_digest: str, *, spare: bool = False
    ) -> None:
        """Record the intent to make a container; ``spare``: beside another, whose place it will take.

        Its secrets are in memory from here on. Raises ConflictError for a name that is taken.
        """
        cgroups.expect_move()
        if container.secrets or container.configs:
            container = container.sealed(seal.key(self.settings, make=True))
        self.records.add(container_id, container, project, image_digest, spare=spare)
        grants.write(container, self.settings, container_id)

    def create(
        self,
        container_id: str,
        image: ImageConfig,
        lowerdirs: Sequence[Path],
        volumes: Mapping[str, Path],
        images: image_mounts.Layers | None = None,
    ) -> None:
        """Write the bundle of a reserved container.

        ``lowerdirs`` are topmost first; ``volumes`` name to directory, ``images`` mounted ones to their layers.
        """
        container = self.declared(container_id)
        groups.keep(container, self.settings, container_id, self._paths(container_id).data)
        self._places.pop(container_id, None)  # its group is another now
        storage.apply(container, self._paths(container_id))
        facts, spec = making.whole(
            container,
            image,
            container_id,
            self._paths(container_id).run,
            lowerdirs=lowerdirs,
            volumes=volumes,
            images=images or {},
            settings=self.settings,
        )
        if users.is_own(container):
            facts["users"] = users.allocate(self.records.database)
            facts["mapped"] = users.prepare(spec, facts["users"], self._paths(container_id).run)
        self._tell(self.records.created(container_id, facts, spec), "create")

    def start(
        self,
        container_id: str,
        netns: Path | None,
        addresses: Mapping[str, str],
        *,
        name_server: IPv4Address | IPv6Address | None = None,
        tell_names: Callable[[str], None] | None = None,
        connect: Callable[[], None] | None = None,
        restarts: int = 0,
        caller: starting.Caller = starting.NOBODY,
    ) -> None:
        """Start a created or ended container; a running one is no error. Raises RuntimeFailureError.

        ``netns`` is the network namespace to join (None: the host's with network_mode host, else a new, empty one),
        ``addresses`` network name to the container's own address, for its hosts file, ``name_server`` what it asks
        instead of the host's name servers. ``tell_names`` adds its peers to the hosts file before anything in it runs,
        ``connect`` brings links into its namespace, while the runtime is at work. ``restarts`` is the supervisor's
        count; ``caller`` is joined to its streams.
        """
        row = self.records.get(container_id)
        if self._process(row):
            self.records.set(container_id, wanted="running")
            freezer.thaw(self._paths(container_id).cgroup)
            return
        if row["phase"] != "created":
            raise RuntimeFailureError(f"container {row['name']} is half made", hint="apply again: it is made anew")
        paths, kept = self._paths(container_id), self.records.bundle(container_id)
        grants.restore(declaration(row["declared"]), self.settings, container_id)
        grants.check_there(declaration(row["declared"]), self.settings, container_id)
        # What an earlier run, or a start that was killed, left.
        lifecycle.clear(self.runtime, container_id, paths, started=_came_up(row))
        private_directory(paths.run)
        facts, declared = json.loads(kept["facts"]), declaration(row["declared"])
        told = resolver.told(declared, self._hostname(row), addresses, name_server)
        self.records.begin_run(container_id, checked=health.check_of(declared, facts) is not None)

        def meanwhile() -> None:
            if tell_names:
                tell_names(container_id)
            if connect:
                connect()

        process = starting.run(
            self.runtime,
            self.settings,
            container_id,
            paths,
            declared,
            config=kept["config"],
            facts=facts,
            netns=netns,
            told=told,
            running=self.running,
            meanwhile=meanwhile,
            caller=caller,
        )
        self.records.set(
            container_id,
            boot_id=boot_id(),
            pid=process.pid,
            pid_start=process.start,
            started_at=now(),
            wanted="running",
            restarts=restarts,
        )
        self._tell(row, "start", f"restart {restarts}" if restarts else "")
        client.wake(self.settings)

    def stop(self, container_id: str, grace: Duration | None = None, *, to_remove: bool = False) -> None:
        """Ask it to end, SIGKILL after the grace period. An ended one is no error.

        ``to_remove``: it is no whole container from here on. A removal that is cut is seen as half made, never as one
        that can be started; how it ended is told, not kept.
        """
        row = self.records.set(container_id, wanted="stopped", **({"phase": "removing"} if to_remove else {}))
        if row is None:
            return
        client.wake(self.settings)
        process = self._process(row)
        paths = self._paths(container_id)
        if process is None:
            lifecycle.kill(paths.cgroup)
            return
        declared = declaration(row["declared"])
        period = declared.stop_grace_period if grace is None else grace
        asked = signal_number(declared.stop_signal or self._stop_signal(container_id, declared))
        lifecycle.stop(process, asked, period.total_seconds(), paths.cgroup)
        code = lifecycle.await_exit_file(paths, container_id, EXIT_FILE_S)
        if not to_remove:
            self.records.set(container_id, exit_code=code, finished_at=now())
        note_death(self.records.database, container_id, code, oom_killed=cgroups.was_oom_killed(paths.cgroup))
        self._tell(row, "stop")

    def layers(self, container_id: str) -> list[Path]:
        """The read-only layers below its own, topmost first."""
        return [Path(item) for item in self.facts(container_id)["lowerdirs"]]

    def stop_signal(self, container_id: str) -> str:
        """The signal that asks it to end: the declared one, the image's, else SIGTERM.

        One of an image that nobody knows is none: the container could never be stopped.
        """
        return self._stop_signal(container_id, self.declared(container_id))

    def _stop_signal(self, container_id: str, declared: Container) -> str:
        for name in (declared.stop_signal, self.facts(container_id)["stop_signal"]):
            with suppress(UnsupportedError):
                signal_number(name or "")
                return str(name)
        return "SIGTERM"

    def expect_end(self, container_id: str) -> None:
        """It will be stopped and removed now: its monitor ends with it."""
        lifecycle.take_monitor(container_id, self._paths(container_id))

    def delete(self, container_id: str) -> None:
        """Remove a container, running or half made, and its own layer. Absent is no error."""
        row = self.records.held(container_id)
        if row is not None and row["phase"] != "removing":
            # From here on it is no whole container: a cut removal is seen as half made, not as one to be started.
            row = self.records.set(container_id, wanted="stopped", phase="removing")
        if row is None:
            return
        paths = self._paths(container_id)
        storage.forget(paths)
        lifecycle.remove(self.runtime, container_id, paths, started=_came_up(row))
        groups.tidy(paths.cgroup, self.settings)
        grants.remove(self.settings, container_id)
        self._tell(row, "destroy")
        self.records.remove(container_id, lambda: tidy_cgroups(self.settings))
        self._places.pop(container_id, None)
        client.wake(self.settings)

    def rename(self, container_id: str, name: str, *, superseded: bool = False) -> None:
        """Give it another name; ``superseded`` marks one that waits beside its successor."""
        declared = self.declared(container_id)
        renamed = declared.model_copy(update={"name": name}).model_dump_json()
        self.records.set(container_id, name=name, declared=renamed, superseded_by="successor" if superseded else None)

    def is_spare(self, container_id: str) -> bool:
        """Whether it is beside another container of its name."""
        return self.records.get(container_id)["superseded_by"] is not None

    def update(self, container_id: str, container: Container) -> None:
        """Change limits in place if they differ, and record the declaration. Raises RuntimeFailureError."""
        row = self.records.get(container_id)
        earlier = declaration(row["declared"])
        grants.write(container, self.settings, container_id)
        if container.resources != earlier.resources:
            spec = json.loads(self.records.bundle(container_id)["config"])
            devices = spec["linux"]["resources"]["devices"]
            spec["linux"]["resources"] = {**limits(container.resources), "devices": devices}
            if self._runs(container_id):
                given = changes(earlier.resources, container.resources)
                namespaces.in_private_mounts(lambda: self.runtime.update(container_id, given))
                lift(self._paths(container_id).cgroup, earlier.resources, container.resources)
            self.records.reconfigure(container_id, spec)
        # Mounts never change in place; those that the image asked for are in the record only.
        kept = container.model_copy(update={"mounts": earlier.mounts})
        self.records.set(container_id, declared=kept.model_dump_json())
        image = self.facts(container_id)["healthcheck"]
        checked = health.course_of(container, image)
        if checked != health.course_of(earlier, image) and self._process(row):
            with self.records.database.transaction() as tx:
                begin_health(tx, container_id, checked=checked is not None)
        client.wake(self.settings)

    def drift(self, container_id: str, container: Container, process: Process) -> dict[str, str]:
        """What a running container has lost of what it was started with; see the package ``drift``."""
        return drift.defects(container, process, self.settings)

    def mend(self, container_id: str) -> None:
        """Bring limits and kernel settings of a running container back in place."""
        self.mend_limits(container_id)
        process = self.process(container_id)
        if process:
            drift.heal(self.declared(container_id), process)

    def mend_limits(self, container_id: str) -> None:
        """Set the limits of its cgroup as they were applied, where they are others by now and it runs."""
        wanted = self.declared(container_id)
        if self._runs(container_id) and any(held.other_limits(wanted, self.settings, container_id)):
            given = limits(wanted.resources)
            namespaces.in_private_mounts(lambda: self.runtime.update(container_id, given))

    def note(self, container_id: str, action: str, detail: str = "") -> None:
        """Tell those who ask for events."""
        happenings.note(self.records.database, container_id, action, detail)

    def _tell(self, row: sqlite3.Row, action: str, detail: str = "") -> None:
        """The same where its record has been read."""
        happenings.append(self.settings.state_root, row["project"], row["name"], action, detail)

    def retell(
        self,
        container_id: str,
        container: Container,
        addresses: Mapping[str, str],
        name_server: IPv4Address | IPv6Address | None,
    ) -> None:
        """Write its own addresses and whom it asks for names anew; see ``start``."""
        told = resolver.told(container, self._hostname(self.records.get(container_id)), addresses, name_server)
        resolver.rewrite(self._paths(container_id).run, told)

    def running(self, name: str) -> tuple[Process | None, Path]:
        """The first process of the container of that name, None when it does not run, and its bundle."""
        container_id = self.find(name)
        if container_id is None:
            return None, Path()
        return self.process(container_id), self._paths(container_id).run

    def _hostname(self, row: sqlite3.Row) -> str:
        declared = declaration(row["declared"])
        return declared.hostname or str(row["id"])[:12]


def _came_up(row: sqlite3.Row) -> bool:
    """Whether its last start came to its end: the process is recorded after that, and forgotten before the next."""
    return row["pid"] is not None and row["boot_id"] == boot_id()
