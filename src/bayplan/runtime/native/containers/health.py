"""Health checks: what to run, and a probe that runs it at its intervals (Compose specification, "healthcheck")."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bayplan.errors import UnsupportedError
from bayplan.models import Container, Duration, HealthCheck
from bayplan.runtime.protocol import ExecResult, Health


class Executor(Protocol):
    """Runs commands in containers."""

    def exec(self, container_id: str, command: Sequence[str], *, timeout: Duration | None = None) -> ExecResult:
        """Run a command; see ``Containers.exec``."""


def of_image(raw: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The image's check in the model's form; times are in nanoseconds (Docker image specification v1.2)."""
    if not raw or not raw.get("Test"):
        return None
    found: dict[str, Any] = {"test": tuple(raw["Test"])}
    for theirs, ours in (("Interval", "interval"), ("Timeout", "timeout"), ("StartPeriod", "start_period")):
        if raw.get(theirs):
            found[ours] = str(Duration(microseconds=int(raw[theirs]) // 1000))
    if raw.get("Retries"):
        found["retries"] = int(raw["Retries"])
    return found


def check_of(declared: str, facts: Mapping[str, Any]) -> HealthCheck:
    """The declared check, else the image's. Raises UnsupportedError when there is none."""
    container = Container.model_validate_json(declared)
    check = container.healthcheck
    if check is None and facts["healthcheck"]:
        check = HealthCheck.model_validate(facts["healthcheck"])
    if check is None or check.test[0] == "NONE":
        raise UnsupportedError("waiting for health needs a health check", where=f"container {container.name}")
    return check


class Probe:
    """One container's checks from now on."""

    def __init__(self, executor: Executor, container_id: str, check: HealthCheck) -> None:
        self.executor, self.container_id, self.check = executor, container_id, check
        self.streak = 0
        self.begun = time.monotonic()
        self.due = self.begun

    @property
    def failed(self) -> bool:
        """Whether it failed as often in a row as makes it unhealthy."""
        return self.streak >= self.check.retries

    @property
    def state(self) -> Health:
        """The outcome so far, short of success."""
        return Health.UNHEALTHY if self.failed else Health.STARTING

    def passes(self) -> bool:
        """Run the check when it is due; whether it passed just now."""
        if time.monotonic() < self.due:
            return False
        test = self.check.test
        command = test[1:] if test[0] == "CMD" else ("/bin/sh", "-c", test[1])
        done = self.executor.exec(self.container_id, command, timeout=self.check.timeout)
        starting = time.monotonic() - self.begun < self.check.start_period.total_seconds()
        pause = (self.check.start_interval if starting else None) or self.check.interval
        self.due = time.monotonic() + pause.total_seconds()
        if done.exit_code and not starting:
            self.streak += 1
        return done.exit_code == 0
