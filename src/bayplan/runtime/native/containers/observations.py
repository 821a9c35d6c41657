"""What containers are doing: status, observation, waiting, their logs, and commands run in them. Changes nothing."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bayplan.errors import ConflictError, RuntimeFailureError, StoppedError, UnsupportedError
from bayplan.models import Change, Condition, Container, Duration, HealthCheck, Settings
from bayplan.runtime.native.containers import execute, health, journal, lifecycle, logs
from bayplan.runtime.native.containers.oci import OciRuntime
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.containers.records import Records, declaration, placed
from bayplan.runtime.native.containers.users import resolve
from bayplan.runtime.native.state.database import Database
from bayplan.runtime.native.supervisor import client
from bayplan.runtime.native.supervisor.policy import Policy
from bayplan.runtime.native.supervisor.records import ended_at, note_end
from bayplan.runtime.protocol import STAYS, ExecResult, Health, LogLine, Observed, State, Status, never
from bayplan.system import cgroups, freezer
from bayplan.system.processes import Process, boot_id

EXIT_FILE_S = 2.0
"""Seconds in which a monitor writes the exit code of what ended; one that was killed never does."""
_POLL_S = 0.01
_PLACES_KEPT = 4096
"""The supervisor lives on while containers come and go."""
_DYING_S = 5.0
"""Seconds in which a process whose namespaces are gone already has ended too. It waits for every process that came into
its PID namespace to be reaped (pid_namespaces(7)), also by a host that is slow at that: half a second was too short."""
_UNMONITORED = "its monitor is gone: what it writes is lost and may end it"


class Observations:
    """The reading half of ``Containers``: what does not change them. Safe to use from many threads."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.records = Records(database)
        self.runtime = OciRuntime(settings)
        self._places: dict[str, Paths] = {}

    def status(self, container_id: str) -> Status:
        """What it is doing now, from its process and its exit file."""
        return self._status(self.records.get(container_id))

    def look(self, container_id: str) -> tuple[Status, Container]:
        """The same, and its declaration on the networks that it is on."""
        row = self.records.get(container_id)
        return self._status(row), placed(row)

    def observe(self, project: str | None, names: Collection[str] = ()) -> list[Observed]:
        """A project's containers, and those that are named."""
        found = []
        verdicts = {row[0]: row[1] for row in self.records.database.query("SELECT container_id, status FROM health")}
        for row in self.records.select(project, names):
            declared = declaration(row["declared"])
            status = self._status(row, verdicts)
            runs = status.state in (State.RUNNING, State.PAUSED)
            lost = runs and not lifecycle.is_monitored(row["id"], self._paths(row["id"]))
            found.append(
                Observed(
                    actual=placed(row),
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
        watched = condition == STAYS and self._check(row) is not None
        probe = self._probe(row) if watched or condition == Condition.HEALTHY else None
        # The supervisor looks after those that have their names.
        spare = row["superseded_by"] is not None
        while True:
            status = self.status(container_id)
            running = status.state is State.RUNNING
            verdict = Health.NONE
            if running and probe:
                # One of the two checks, never both: the supervisor may come or go meanwhile.
                try:
                    others = not spare and client.is_alive(self.settings)
                    verdict = status.health if others else probe.look()
                except ConflictError:
                    continue  # ended or paused since it was looked at: the next look says which
                except RuntimeFailureError:
                    dying = self.process(container_id)
                    if dying and not dying.wait(_DYING_S):
                        raise
                    continue  # it ended meanwhile: say that, not that a check could not be run in it
                status = status.model_copy(update={"health": verdict})
            if running and (condition == Condition.STARTED or (verdict is Health.HEALTHY and condition != STAYS)):
                return status
            if status.state is State.EXITED and condition == Condition.COMPLETED and status.exit_code == 0:
                return status
            if not running:
                paused = status.state is State.PAUSED
                raise self._failure(row, "is paused" if paused else f"ended with exit code {status.exit_code}")
            if verdict is Health.UNHEALTHY:
                raise self._failure(row, "turned unhealthy")
            if stopped():
                raise StoppedError(f"no longer waiting for container {row['name']}")
            if time.monotonic() >= deadline:
                if condition == STAYS:
                    return status
                raise self._failure(row, f"did not reach {condition} within {timeout}")
            time.sleep(_POLL_S)

    def next_restart(self, container_id: str) -> int | None:
        """The number of the restart that the policy of an ended container asks for; None when it asks for none."""
        status, row = self.status(container_id), self.records.get(container_id)
        ended = status.state in (State.EXITED, State.RESTARTING)
        return row["restarts"] + 1 if ended and _asks_again(row, status.exit_code) else None

    def logs(
        self,
        container_id: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[LogLine]:
        """What the container wrote, oldest first."""
        kept = declaration(self.records.get(container_id)["declared"]).logging

        def running() -> bool:
            return self._runs(container_id)

        if kept and kept.driver == "journald":
            return journal.read(container_id, follow=follow, tail=tail, since=since, until=until, running=running)
        path = self._paths(container_id).log
        return logs.read(path, follow=follow, tail=tail, since=since, until=until, running=running)

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
        detach: bool = False,
        privileged: bool = False,
        detach_keys: bytes = b"",
        timeout: Duration | None = None,
    ) -> ExecResult:
        """Run a command in a running container; killed at the timeout (exit code 124). Raises ConflictError."""
        if not self._runs(container_id):
            raise ConflictError(
                f"container {self.records.get(container_id)['name']} is not running", hint="start it first"
            )
        paths = self._paths(container_id)
        if freezer.is_frozen(paths.cgroup):
            raise ConflictError(
                f"container {self.records.get(container_id)['name']} is paused", hint="unpause it first"
            )
        # The names of users are looked up as the container sees them now: its own layer is over the image's.
        layers = [paths.upper, *(Path(item) for item in self.facts(container_id)["lowerdirs"])]
        process = execute.process_file(
            json.loads((paths.run / "config.json").read_text()),
            command,
            user=resolve(user, layers) if user else None,
            environment=environment or {},
            working_dir=working_dir,
            tty=tty,
            privileged=privileged,
        )
        timeout_s = timeout.total_seconds() if timeout else None
        return execute.run(
            self.runtime,
            container_id,
            paths,
            process,
            stdin=stdin,
            capture=capture,
            timeout_s=timeout_s,
            detach=detach,
            detach_keys=detach_keys,
        )

    def _failure(self, row: sqlite3.Row, why: str) -> RuntimeFailureError:
        lines = [line.text for line in self.logs(row["id"], tail=20)]
        checked = self.records.database.query("SELECT last_output FROM health WHERE container_id = ?", (row["id"],))
        if checked and checked[0]["last_output"]:
            lines += ["-- the last health check said:", *checked[0]["last_output"].splitlines()]
        return RuntimeFailureError(f"container {row['name']} {why}", output="\n".join(lines))

    def _check(self, row: sqlite3.Row) -> HealthCheck | None:
        return health.check_of(declaration(row["declared"]), self.facts(row["id"]))

    def _probe(self, row: sqlite3.Row) -> health.Probe:
        check = self._check(row)
        if check is None:
            raise UnsupportedError("waiting for health needs a health check", where=f"container {row['name']}")
        return health.Probe(self, self.records.database, row, check)

    def _status(self, row: sqlite3.Row, verdicts: Mapping[str, str] | None = None) -> Status:
        """``verdicts`` are those of health checks where they have been read for many at once."""
        if row["phase"] != "created":
            return Status(state=State.INCOMPLETE)
        times = {"started_at": _time(row["started_at"]), "finished_at": _time(row["finished_at"])}
        process = self._process(row)
        if process:
            if verdicts is None:
                verdicts = {row["id"]: self._verdict(row["id"])}
            verdict = Health(verdicts.get(row["id"], Health.NONE))
            state = State.PAUSED if freezer.is_frozen(self._paths(row["id"]).cgroup) else State.RUNNING
            return Status(state=state, pid=process.pid, health=verdict, restarts=row["restarts"], **times)
        if row["pid"] is None:
            # One that has run before and has no process now is in the middle of its restart.
            again = row["started_at"] is not None and self._comes_back(row, None)
            return Status(state=State.RESTARTING if again else State.CREATED, restarts=row["restarts"])
        paths = self._paths(row["id"])
        code = row["exit_code"]
        if code is None and row["finished_at"] is None and row["boot_id"] == boot_id():
            # Once: a monitor that was killed writes no code, ever.
            code = lifecycle.await_exit_file(paths, row["id"], EXIT_FILE_S)
            killed = cgroups.was_oom_killed(paths.cgroup)
            key, at = (row["id"], row["pid"], row["pid_start"]), ended_at(self.settings, row["id"])
            times["finished_at"] = _time(note_end(self.records.database, key, code, at=at, oom_killed=killed))
        killed = cgroups.was_oom_killed(paths.cgroup)
        state = State.RESTARTING if self._comes_back(row, code) else State.EXITED
        asked = row["wanted"] == "stopped"
        return Status(
            state=state, exit_code=code, oom_killed=killed, restarts=row["restarts"], on_request=asked, **times
        )

    def _verdict(self, container_id: str) -> str:
        rows = self.records.database.query("SELECT status FROM health WHERE container_id = ?", (container_id,))
        return str(rows[0]["status"]) if rows else Health.NONE

    def _comes_back(self, row: sqlite3.Row, exit_code: int | None) -> bool:
        """Whether the supervisor is about to start an ended one again."""
        if row["wanted"] != "running" or row["superseded_by"] is not None or row["boot_id"] != boot_id():
            return False
        return _asks_again(row, exit_code) and client.is_alive(self.settings)

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

    def _paths(self, container_id: str) -> Paths:
        found = self._places.get(container_id)
        if found is None:
            if len(self._places) >= _PLACES_KEPT:
                self._places.clear()
            found = self._places[container_id] = Paths.of(self.settings, container_id)
        return found

    def facts(self, container_id: str) -> dict[str, Any]:
        """What was found out when it was made: layers, the image's stop signal and health check, parts of mounts."""
        facts: dict[str, Any] = json.loads(self.records.bundle(container_id)["facts"])
        return facts


def _asks_again(row: sqlite3.Row, exit_code: int | None) -> bool:
    return Policy.of(json.loads(row["declared"])).again(exit_code, row["restarts"])


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
