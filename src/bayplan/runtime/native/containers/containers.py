"""Containers with their records: the room's public face.

The record is written before anything else and removed last. The bundle is kept in it and written to the run root at
each start, so that a container outlives a reboot.
"""

from __future__ import annotations

import json
import re
import signal
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from bayplan.errors import NotFoundError, RuntimeFailureError, UnsupportedError
from bayplan.models import Container, Duration, VolumeMount
from bayplan.runtime.native.containers import grants, groups, health, joining, lifecycle, mountpoints, resolver, storage
from bayplan.runtime.native.containers.observations import EXIT_FILE_S, Observations
from bayplan.runtime.native.containers.oci import streams
from bayplan.runtime.native.containers.records import declaration, now, placed
from bayplan.runtime.native.containers.spec import (
    Bundle,
    build_spec,
    changes,
    image_mounts,
    lift,
    limits,
    process_environment,
    users,
)
from bayplan.runtime.native.containers.spec import mounts as spec_mounts
from bayplan.runtime.native.containers.users import resolve
from bayplan.runtime.native.images.stored import ImageConfig
from bayplan.runtime.native.state import happenings
from bayplan.runtime.native.supervisor import client
from bayplan.runtime.native.supervisor.place import tidy_cgroups
from bayplan.runtime.native.supervisor.records import begin_health, note_death
from bayplan.system import cgroups, freezer, idmap, namespaces
from bayplan.system.files import private_directory
from bayplan.system.processes import Process, boot_id

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

    def reserve(self, container_id: str, container: Container, project: str, image_digest: str) -> None:
        """Record the intent to make a container.

        Its secrets are in memory from here on. Raises ConflictError for a name that is taken.
        """
        cgroups.expect_move()
        if container.secrets or container.configs:
            container = container.sealed(grants.key(self.settings, make=True))
        self.records.add(container_id, container, project, image_digest)
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
        for mount in container.mounts:
            if isinstance(mount, VolumeMount) and not volumes[mount.source].is_dir():
                raise NotFoundError(f"volume {mount.source} does not exist", where=f"container {container.name}")
        user = resolve(container.user or image.user, lowerdirs, container.group_add)
        bundle = Bundle(
            container_id,
            self._paths(container_id).run,
            _arguments(container, image),
            process_environment(container, image.env, user),
            container.working_dir or image.working_dir or "/",
            user,
            None,
            volumes,
        )
        facts: dict[str, Any] = {
            "lowerdirs": [str(item) for item in lowerdirs],
            "stop_signal": image.stop_signal,
            "healthcheck": _image_check(container, image),
            "parts": spec_mounts.parts(container, volumes),
            "images": image_mounts.facts(container, images or {}),
        }
        groups.keep(container, self.settings, container_id, self._paths(container_id).data)
        self._places.pop(container_id, None)  # its group is another now
        storage.apply(container, self._paths(container_id))
        spec = build_spec(container, bundle, self.settings)
        for grant, file in grants.entries(container, self.settings, container_id):
            spec["mounts"].append(spec_mounts.bind(file, grant.target, "ro"))
        if users.is_own(container):
            facts["users"] = users.allocate(self.records.database)
            facts["mapped"] = users.prepare(spec, facts["users"], self._paths(container_id).run)
        self.records.created(container_id, facts, spec)
        self.note(container_id, "create")

    def start(
        self,
        container_id: str,
        netns: Path | None,
        addresses: Mapping[str, str],
        *,
        name_server: IPv4Address | None = None,
        tell_names: Callable[[str], None] | None = None,
        connect: Callable[[], None] | None = None,
        restarts: int = 0,
    ) -> None:
        """Start a created or ended container; a running one is no error. Raises RuntimeFailureError.

        ``netns`` is the network namespace to join (None: the host's with network_mode host, else a new, empty one),
        ``addresses`` network name to the container's own address, for its hosts file, ``name_server`` what it asks
        instead of the host's name servers. ``tell_names`` adds its peers to the hosts file before anything in it runs,
        ``connect`` brings links into its namespace, while the runtime is at work. ``restarts`` is the supervisor's
        count.
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
        self.records.set(container_id, wanted="running", exit_code=None, finished_at=None, pid=None)
        begin_health(self.records.database, container_id, checked=health.check_of(declared, facts) is not None)

        def meanwhile() -> None:
            if tell_names:
                tell_names(container_id)
            if connect:
                connect()

        layers = [*(Path(item) for item in facts["lowerdirs"]), mountpoints.layer(self.settings.state_root)]

        userns: list[int] = []

        def furnish(bundle: Path) -> None:
            shared.furnish(bundle)
            spec_mounts.show_parts(facts.get("parts", ()), bundle)
            image_mounts.show(facts.get("images", ()), bundle)
            if userns:
                users.show_mounts(facts["mapped"], bundle, userns[0])

        def show_layers(found: Sequence[Path]) -> Sequence[Path]:
            return users.show_layers(found, paths, facts["users"], userns[0]) if userns else found

        with ExitStack() as held:
            shared = held.enter_context(joining.joined(declared, self.running))
            if facts.get("users") is not None:
                userns.append(held.enter_context(idmap.user_map(facts["users"])))
                users.open_way(paths, facts["users"])
            resolver.write(paths.run, shared.put_in(kept["config"]), netns, told)
            process = lifecycle.start(
                self.runtime,
                container_id,
                paths,
                layers,
                meanwhile,
                streams=streams(declared),
                furnish=furnish,
                show_layers=show_layers,
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
        self.note(container_id, "start", f"restart {restarts}" if restarts else "")
        client.wake(self.settings)

    def stop(self, container_id: str, grace: Duration | None = None) -> None:
        """Ask it to end, SIGKILL after the grace period. An ended one is no error."""
        row = self.records.set(container_id, wanted="stopped")
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
        asked = signal_number(declared.stop_signal or self.stop_signal(container_id))
        lifecycle.stop(process, asked, period.total_seconds(), paths.cgroup)
        code = lifecycle.await_exit_file(paths, container_id, EXIT_FILE_S)
        self.records.set(container_id, exit_code=code, finished_at=now())
        note_death(self.records.database, container_id, code, oom_killed=cgroups.was_oom_killed(paths.cgroup))
        self.note(container_id, "stop")

    def layers(self, container_id: str) -> list[Path]:
        """The read-only layers below its own, topmost first."""
        return [Path(item) for item in self.facts(container_id)["lowerdirs"]]

    def stop_signal(self, container_id: str) -> str:
        """The signal that asks it to end: the declared one, the image's, else SIGTERM.

        One of an image that nobody knows is none: the container could never be stopped.
        """
        for name in (self.declared(container_id).stop_signal, self.facts(container_id)["stop_signal"]):
            with suppress(UnsupportedError):
                signal_number(name or "")
                return str(name)
        return "SIGTERM"

    def expect_end(self, container_id: str) -> None:
        """It will be stopped and removed now: its monitor ends with it."""
        lifecycle.take_monitor(container_id, self._paths(container_id))

    def delete(self, container_id: str) -> None:
        """Remove a container, running or half made, and its own layer. Absent is no error."""
        # From here on it is no whole container: a cut removal is seen as half made, never as one that can be started.
        row = self.records.set(container_id, wanted="stopped", phase="removing")
        if row is None:
            return
        paths = self._paths(container_id)
        storage.forget(paths)
        lifecycle.remove(self.runtime, container_id, paths, started=_came_up(row))
        groups.tidy(paths.cgroup, self.settings)
        grants.remove(self.settings, container_id)
        self.note(container_id, "destroy")
        self.records.remove(container_id, lambda: tidy_cgroups(self.settings))
        self._places.pop(container_id, None)
        client.wake(self.settings)

    def rename(self, container_id: str, name: str, *, superseded: bool = False) -> None:
        """Give it another name; ``superseded`` marks one that waits beside its successor."""
        declared = self.declared(container_id)
        renamed = declared.model_copy(update={"name": name}).model_dump_json()
        self.records.set(container_id, name=name, declared=renamed, superseded_by="successor" if superseded else None)

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
        if container.healthcheck != earlier.healthcheck and self._process(row):
            checked = health.check_of(container, self.facts(container_id)) is not None
            begin_health(self.records.database, container_id, checked=checked)
        client.wake(self.settings)

    def note(self, container_id: str, action: str, detail: str = "") -> None:
        """Tell those who ask for events."""
        happenings.note(self.records.database, container_id, action, detail)

    def retell(
        self, container_id: str, container: Container, addresses: Mapping[str, str], name_server: IPv4Address | None
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


def _arguments(container: Container, image: ImageConfig) -> tuple[str, ...]:
    """Entrypoint and command; a declared entrypoint drops the image's command (Compose specification)."""
    entrypoint = image.entrypoint if container.entrypoint is None else container.entrypoint
    default = image.cmd if container.entrypoint is None else ()
    found = (*entrypoint, *(default if container.command is None else container.command))
    if not found:
        raise UnsupportedError(
            "neither the image nor the declaration has a command", where=f"container {container.name}"
        )
    return found


def _image_check(container: Container, image: ImageConfig) -> Mapping[str, Any] | None:
    """The image's health check; one that cannot be used is an error only where it would be."""
    try:
        return health.of_image(image.healthcheck)
    except UnsupportedError as error:
        if container.healthcheck is not None:
            return None
        error.where = f"container {container.name}"
        raise


def signal_number(name: str) -> int:
    """A signal by name, with or without ``SIG``, or by number (signal(7))."""
    if name.isascii() and name.isdigit() and 0 < int(name[:9]) < signal.NSIG:
        return int(name)
    # Real-time signals are named from both ends of their range: RTMIN+3, RTMAX-2 (signal(7), kill(1)).
    number: int | None
    relative = re.fullmatch(r"(?:SIG)?(RTMIN\+|RTMAX-)(\d{1,2})", name.upper())
    if relative:
        base, offset = relative.groups()
        number = signal.SIGRTMIN + int(offset) if base == "RTMIN+" else signal.SIGRTMAX - int(offset)
        number = number if signal.SIGRTMIN <= number <= signal.SIGRTMAX else None
    else:
        number = getattr(signal, f"SIG{name.upper().removeprefix('SIG')}", None)
    if number is None:
        raise UnsupportedError(f"unknown signal {name}", hint="see signal(7)")
    return int(number)
