"""Containers with their records: the room's public face.

The record is written before anything else and removed last. The bundle is kept in it and written to the run root at
each start, so that a container outlives a reboot.
"""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from bayplan.errors import NotFoundError, RuntimeFailureError, StoppedError, UnsupportedError
from bayplan.models import Change, Condition, Container, Duration, HealthCheck, Settings, VolumeMount
from bayplan.runtime.native.containers import execute, grants, health, joining, lifecycle, logs, mountpoints, resolver
from bayplan.runtime.native.containers.oci import OciRuntime, streams
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.containers.records import Records, declaration, now
from bayplan.runtime.native.containers.spec import Bundle, build_spec, changes, lift, limits, process_environment
from bayplan.runtime.native.containers.spec import mounts as spec_mounts
from bayplan.runtime.native.containers.users import resolve
from bayplan.runtime.native.images.stored import ImageConfig
from bayplan.runtime.native.state.database import Database
from bayplan.runtime.native.supervisor import client
from bayplan.runtime.native.supervisor.policy import Policy
from bayplan.runtime.native.supervisor.records import begin_health
from bayplan.runtime.protocol import ExecResult, Health, LogLine, Observed, State, Status, never
from bayplan.system import cgroups, namespaces
from bayplan.system.processes import Process, boot_id

IN_PLACE = frozenset({"labels", "resources", "restart", "healthcheck", "stop_signal", "stop_grace_period"})
"""Fields that ``update`` changes on a running container."""
_EXIT_FILE_S = 2.0
_POLL_S = 0.01
_UNMONITORED = "its monitor is gone: what it writes is lost and may end it"


class Containers:
    """All containers of one core. Safe to use from many threads, one at a time for each container."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.records = Records(database)
        self.runtime = OciRuntime(settings)

    def find(self, name: str) -> str | None:
        """Id of the container of that name; None when there is none."""
        row = self.records.find(name)
        return None if row is None else str(row["id"])

    def declared(self, container_id: str) -> Container:
        """What was last applied. Raises NotFoundError."""
        return declaration(self.records.get(container_id)["declared"])

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
        self, container_id: str, image: ImageConfig, lowerdirs: Sequence[Path], volumes: Mapping[str, Path]
    ) -> None:
        """Write the bundle of a reserved container. ``lowerdirs`` are topmost first; ``volumes`` name to directory."""
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
        facts = {
            "lowerdirs": [str(item) for item in lowerdirs],
            "stop_signal": image.stop_signal,
            "healthcheck": health.of_image(image.healthcheck),
            "parts": spec_mounts.parts(container, volumes),
        }
        spec = build_spec(container, bundle, self.settings)
        for grant, file in grants.entries(container, self.settings, container_id):
            spec["mounts"].append(spec_mounts.bind(file, grant.target, "ro"))
        self.records.created(container_id, facts, spec)

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
            return
        if row["phase"] != "created":
            raise RuntimeFailureError(f"container {row['name']} is half made", hint="apply again: it is made anew")
        paths, kept = self._paths(container_id), self.records.bundle(container_id)
        grants.check_there(declaration(row["declared"]), self.settings, container_id)
        # What an earlier run, or a start that was killed, left.
        lifecycle.clear(self.runtime, container_id, paths, started=_came_up(row))
        paths.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        facts, declared, spec = json.loads(kept["facts"]), declaration(row["declared"]), json.loads(kept["config"])
        told = resolver.Told(
            self._hostname(row),
            addresses,
            name_server,
            declared.domainname or "",
            tuple(map(str, declared.dns)),
            declared.dns_search,
            declared.dns_opt,
        )
        self.records.set(container_id, wanted="running", exit_code=None, finished_at=None, pid=None)
        begin_health(self.records.database, container_id, checked=health.check_of(declared, facts) is not None)

        def meanwhile() -> None:
            if tell_names:
                tell_names(container_id)
            if connect:
                connect()

        layers = [*(Path(item) for item in facts["lowerdirs"]), mountpoints.layer(self.settings.state_root)]

        def furnish(bundle: Path) -> None:
            shared.furnish(bundle)
            spec_mounts.show_parts(facts.get("parts", ()), bundle)

        with joining.joined(declared, self.running) as shared:
            shared.put_in(spec)
            resolver.write(paths.run, spec, netns, told)
            process = lifecycle.start(
                self.runtime,
                container_id,
                paths,
                layers,
                meanwhile,
                streams=streams(declared),
                furnish=furnish,
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
        client.wake(self.settings)

    def stop(self, container_id: str, grace: Duration | None = None) -> None:
        """Ask it to end, SIGKILL after the grace period. An ended one is no error."""
        self.records.set(container_id, wanted="stopped")
        client.wake(self.settings)
        row = self.records.get(container_id)
        process = self._process(row)
        paths = self._paths(container_id)
        if process is None:
            lifecycle.kill(paths.cgroup)
            return
        declared = declaration(row["declared"])
        name = declared.stop_signal or self._facts(container_id)["stop_signal"] or "SIGTERM"
        period = declared.stop_grace_period if grace is None else grace
        lifecycle.stop(process, _signal(name), period.total_seconds(), paths.cgroup)
        code = lifecycle.await_exit_file(paths, container_id, _EXIT_FILE_S)
        self.records.set(container_id, exit_code=code, finished_at=now())

    def delete(self, container_id: str) -> None:
        """Remove a container, running or half made, and its own layer. Absent is no error."""
        # From here on it is no whole container: a cut removal is seen as half made, never as one that can be started.
        came_up = _came_up(self.records.get(container_id))
        self.records.set(container_id, wanted="stopped", phase="removing")
        lifecycle.remove(self.runtime, container_id, self._paths(container_id), started=came_up)
        grants.remove(self.settings, container_id)
        self.records.remove(container_id, lambda: cgroups.remove_empty(self.settings.cgroup_parent))
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
        self.records.set(container_id, declared=container.model_dump_json())
        if container.healthcheck != earlier.healthcheck and self._process(row):
            checked = health.check_of(container, self._facts(container_id)) is not None
            begin_health(self.records.database, container_id, checked=checked)
        client.wake(self.settings)

    def status(self, container_id: str) -> Status:
        """What it is doing now, from its process and its exit file."""
        return self._status(self.records.get(container_id))

    def observe(self, project: str | None, names: Collection[str] = ()) -> list[Observed]:
        """A project's containers, and those that are named."""
        found = []
        for row in self.records.select(project, names):
            declared = declaration(row["declared"])
            status = self._status(row)
            lost = status.state is State.RUNNING and not lifecycle.is_monitored(row["id"], self._paths(row["id"]))
            found.append(
                Observed(
                    actual=declared,
                    declared=declared,
                    status=status,
                    defects={_UNMONITORED: Change.RESTART.value} if lost else {},
                    handle=row["id"],
                    image_digest=row["image_digest"],
                    project=row["project"],
                    superseded=row["superseded_by"] is not None,
                )
            )
        return found

    def wait(self, container_id: str, condition: str, timeout: Duration, stopped: Callable[[], bool] = never) -> Status:
        """Wait until it is started, healthy or ended well. Raises RuntimeFailureError with its last log lines.

        Raises StoppedError when ``stopped`` says so.

        No supervisor is needed: without one, waiting for health runs the checks itself and records what they say.
        """
        row = self.records.get(container_id)
        deadline = time.monotonic() + timeout.total_seconds()
        probe = self._probe(row) if condition == Condition.HEALTHY else None
        while True:
            status = self.status(container_id)
            running = status.state is State.RUNNING
            verdict = Health.NONE
            if running and probe:
                # One of the two checks, never both: the supervisor may come or go meanwhile.
                verdict = status.health if client.is_alive(self.settings) else probe.look()
                status = status.model_copy(update={"health": verdict})
            if running and (condition == Condition.STARTED or verdict is Health.HEALTHY):
                return status
            if status.state is State.EXITED and condition == Condition.COMPLETED and status.exit_code == 0:
                return status
            if not running:
                raise self._failure(row, f"ended with exit code {status.exit_code}")
            if verdict is Health.UNHEALTHY:
                raise self._failure(row, "turned unhealthy")
            if stopped():
                raise StoppedError(f"no longer waiting for container {row['name']}")
            if time.monotonic() >= deadline:
                raise self._failure(row, f"did not reach {condition} within {timeout}")
            time.sleep(_POLL_S)

    def next_restart(self, container_id: str) -> int | None:
        """The number of the restart that the policy of an ended container asks for; None when it asks for none."""
        status, row = self.status(container_id), self.records.get(container_id)
        ended = status.state in (State.EXITED, State.RESTARTING)
        return row["restarts"] + 1 if ended and _asks_again(row, status.exit_code) else None

    def logs(
        self, container_id: str, *, follow: bool = False, tail: int | None = None, since: datetime | None = None
    ) -> Iterator[LogLine]:
        """What the container wrote, oldest first."""
        path = self._paths(container_id).log
        return logs.read(path, follow=follow, tail=tail, since=since, running=lambda: self._runs(container_id))

    def exec(
        self,
        container_id: str,
        command: Sequence[str],
        *,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        working_dir: str | None = None,
        tty: bool = False,
        stdin: bytes | None = None,
        capture: bool = True,
        timeout: Duration | None = None,
    ) -> ExecResult:
        """Run a command in a running container; killed at the timeout (exit code 124). Raises RuntimeFailureError."""
        if not self._runs(container_id):
            raise RuntimeFailureError(f"container {container_id[:12]} is not running", hint="start it first")
        paths = self._paths(container_id)
        # The names of users are looked up as the container sees them now: its own layer is over the image's.
        layers = [paths.upper, *(Path(item) for item in self._facts(container_id)["lowerdirs"])]
        process = execute.process_file(
            json.loads((paths.run / "config.json").read_text()),
            command,
            user=resolve(user, layers) if user else None,
            environment=environment or {},
            working_dir=working_dir,
            tty=tty,
        )
        timeout_s = timeout.total_seconds() if timeout else None
        return execute.run(
            self.runtime, container_id, paths, process, stdin=stdin, capture=capture, timeout_s=timeout_s
        )

    def _failure(self, row: sqlite3.Row, why: str) -> RuntimeFailureError:
        lines = [line.text for line in self.logs(row["id"], tail=20)]
        checked = self.records.database.query("SELECT last_output FROM health WHERE container_id = ?", (row["id"],))
        if checked and checked[0]["last_output"]:
            lines += ["-- the last health check said:", *checked[0]["last_output"].splitlines()]
        return RuntimeFailureError(f"container {row['name']} {why}", output="\n".join(lines))

    def _check(self, row: sqlite3.Row) -> HealthCheck | None:
        return health.check_of(declaration(row["declared"]), self._facts(row["id"]))

    def _probe(self, row: sqlite3.Row) -> health.Probe:
        check = self._check(row)
        if check is None:
            raise UnsupportedError("waiting for health needs a health check", where=f"container {row['name']}")
        return health.Probe(self, self.records.database, row, check)

    def _status(self, row: sqlite3.Row) -> Status:
        if row["phase"] != "created":
            return Status(state=State.INCOMPLETE)
        times = {"started_at": _time(row["started_at"]), "finished_at": _time(row["finished_at"])}
        process = self._process(row)
        if process:
            found = self.records.database.query("SELECT status FROM health WHERE container_id = ?", (row["id"],))
            verdict = Health(found[0]["status"]) if found else Health.NONE
            return Status(state=State.RUNNING, pid=process.pid, health=verdict, restarts=row["restarts"], **times)
        if row["pid"] is None:
            # One that has run before and has no process now is in the middle of its restart.
            again = row["started_at"] is not None and self._comes_back(row, None)
            return Status(state=State.RESTARTING if again else State.CREATED, restarts=row["restarts"])
        paths = self._paths(row["id"])
        code = row["exit_code"]
        if code is None and row["finished_at"] is None and row["boot_id"] == boot_id():
            # Once: a monitor that was killed writes no code, ever.
            code = lifecycle.await_exit_file(paths, row["id"], _EXIT_FILE_S)
            self.records.set(row["id"], exit_code=code, finished_at=now())
        killed = cgroups.was_oom_killed(paths.cgroup)
        state = State.RESTARTING if self._comes_back(row, code) else State.EXITED
        return Status(state=state, exit_code=code, oom_killed=killed, restarts=row["restarts"], **times)

    def _comes_back(self, row: sqlite3.Row, exit_code: int | None) -> bool:
        """Whether the supervisor is about to start an ended one again."""
        if row["wanted"] != "running" or row["superseded_by"] is not None or row["boot_id"] != boot_id():
            return False
        return _asks_again(row, exit_code) and client.is_alive(self.settings)

    def running(self, name: str) -> tuple[Process | None, Path]:
        """The first process of the container of that name, None when it does not run, and its bundle."""
        container_id = self.find(name)
        if container_id is None:
            return None, Path()
        return self.process(container_id), self._paths(container_id).run

    def process(self, container_id: str) -> Process | None:
        """Its first process; None when it does not run."""
        return self._process(self.records.get(container_id))

    def _process(self, row: sqlite3.Row) -> Process | None:
        if row["pid"] is None or row["boot_id"] != boot_id():
            return None
        process = Process(row["pid"], row["pid_start"])
        return process if process.alive else None

    def _runs(self, container_id: str) -> bool:
        return self.process(container_id) is not None

    def _hostname(self, row: sqlite3.Row) -> str:
        declared = declaration(row["declared"])
        return declared.hostname or str(row["id"])[:12]

    def _paths(self, container_id: str) -> Paths:
        return Paths.of(self.settings, container_id)

    def _facts(self, container_id: str) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.records.bundle(container_id)["facts"])
        return facts


def _came_up(row: sqlite3.Row) -> bool:
    """Whether its last start came to its end: the process is recorded after that, and forgotten before the next."""
    return row["pid"] is not None and row["boot_id"] == boot_id()


def _asks_again(row: sqlite3.Row, exit_code: int | None) -> bool:
    return Policy.of(json.loads(row["declared"])).again(exit_code, row["restarts"])


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


def _signal(name: str) -> int:
    """A signal by name, with or without ``SIG``, or by number (signal(7))."""
    if name.isdigit():
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


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
