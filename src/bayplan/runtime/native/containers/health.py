"""Health checks: what to run, and a probe that runs it at its intervals (Compose specification, "healthcheck")."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from sqlite3 import Row
from typing import Any, Protocol

from pydantic import ValidationError

from bayplan.errors import UnsupportedError
from bayplan.models import Container, Duration, HealthCheck
from bayplan.runtime.native.state.database import Database
from bayplan.runtime.native.supervisor.records import note_health
from bayplan.runtime.native.supervisor.schedule import Check, Course, age_s, merged
from bayplan.runtime.protocol import ExecResult, Health

_TIMES = {
    "Interval": "interval",
    "Timeout": "timeout",
    "StartPeriod": "start_period",
    "StartInterval": "start_interval",
}


class Executor(Protocol):
    """Runs commands in containers."""

    def exec(self, container_id: str, command: Sequence[str], *, timeout: Duration | None = None) -> ExecResult:
        """Run a command; see ``Containers.exec``."""


def of_image(raw: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The image's check in the model's form; times are in nanoseconds (Docker image specification v1.2).

    Raises UnsupportedError for one that is no check.
    """
    if not raw or not raw.get("Test"):
        return None
    try:
        if not isinstance(raw["Test"], list | tuple):
            raise ValueError("Test is no list")  # noqa: TRY004, TRY301 - one message below
        found: dict[str, Any] = {"test": tuple(raw["Test"])}
        for theirs, ours in _TIMES.items():
            if raw.get(theirs):
                found[ours] = str(Duration(microseconds=int(raw[theirs]) // 1000))
        if raw.get("Retries"):
            found["retries"] = int(raw["Retries"])
        HealthCheck.model_validate(found)
    except (ValueError, TypeError, OverflowError) as error:
        said = str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else str(error)
        what = f"the health check of its image cannot be used: {said}"
        raise UnsupportedError(what, hint="declare a healthcheck, or disable it") from error
    return found


def check_of(container: Container, facts: Mapping[str, Any]) -> HealthCheck | None:
    """The declared check, else the image's; None when there is none."""
    declared = container.healthcheck.model_dump(mode="json") if container.healthcheck else None
    found = merged(declared, facts["healthcheck"])
    check = HealthCheck.model_validate(found) if found else None
    return None if check is None or check.is_off else check


def course_of(container: Container, image: Mapping[str, Any] | None) -> Check | None:
    """What is run and when, defaults filled in; ``image`` is its image's check in the model's form."""
    return Check.of(container.healthcheck.model_dump(mode="json") if container.healthcheck else None, image)


class Probe:
    """The checks of one run of a container, from now on, by whoever waits for it."""

    def __init__(self, executor: Executor, database: Database, row: Row, check: HealthCheck) -> None:
        self.executor, self.database = executor, database
        self.key, self.declared = (str(row["id"]), row["pid"], row["pid_start"]), str(row["declared"])
        read = Check.of(check.model_dump(mode="json"), None)
        assert read is not None  # check_of gives none that is off
        self.course = Course(read)
        self.due = time.monotonic()

    def look(self) -> Health:
        """The verdict so far; runs the check when it is due."""
        if time.monotonic() >= self.due:
            done = self.executor.exec(
                self.key[0], self.course.check.command, timeout=Duration(seconds=self.course.check.timeout_s)
            )
            age = age_s(self.key[2])
            self.course.note(done.exit_code == 0, age)
            self.due = time.monotonic() + self.course.pause_s(age)
            said, course = done.stdout + done.stderr, self.course
            note_health(self.database, self.key, course.status, course.streak, said, declared=self.declared)
        return Health(self.course.status)
