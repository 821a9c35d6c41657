"""Waiting for what a container must reach: it runs, is healthy, has ended well."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from bayplan.errors import BayplanError, RuntimeFailureError, StoppedError, UnsupportedError
from bayplan.models import Condition, Duration
from bayplan.runtime.engine_api import logs
from bayplan.runtime.engine_api.client import told
from bayplan.runtime.engine_api.containers import Containers
from bayplan.runtime.engine_api.status import status_of
from bayplan.runtime.protocol import STAYS, Health, State, Status, never

_RESTARTS = 6
"""Restarts by its policy that one which is waited for may need, besides its first start."""
_POLL_S, _POLL_MOST_S = 0.02, 0.25
_LAST_LINES = 20


def wait(
    containers: Containers, name: str, condition: str, timeout: Duration, stopped: Callable[[], bool] = never
) -> Status:
    """Wait until it runs, is healthy, or has ended well. Fails fast; see ``Runtime.wait``."""
    deadline, pause, restarts = time.monotonic() + timeout.total_seconds(), _POLL_S, None
    while True:
        found = containers.get(name)
        status = status_of(found)
        restarts = status.restarts if restarts is None else restarts
        if condition == Condition.HEALTHY and not _has_check(found):
            raise UnsupportedError("waiting for health needs a health check", where=f"container {name}")
        if condition != STAYS and _reached(status, condition):
            return status
        if why := _lost(status, condition, restarts):
            raise _failure(containers, name, why, found)
        if stopped():
            raise StoppedError(f"no longer waiting for container {name}")
        if time.monotonic() >= deadline:
            if condition == STAYS:
                return status
            raise _failure(containers, name, f"did not reach {condition} within {timeout}", found)
        time.sleep(pause)
        pause = min(pause * 1.5, _POLL_MOST_S)


def _failure(containers: Containers, name: str, why: str, found: Mapping[str, Any]) -> RuntimeFailureError:
    """With the last that it wrote, where that is kept."""
    lines = list[str]()
    with suppress(BayplanError), told(f"container {name}"):
        said = logs.read(containers.client, found, follow=False, tail=_LAST_LINES, since=None, until=None)
        lines = [line.text for line in said]
    checks = ((found.get("State") or {}).get("Health") or {}).get("Log") or ()
    if checks and checks[-1].get("Output"):
        lines += ["-- the last health check said:", *checks[-1]["Output"].splitlines()]
    return RuntimeFailureError(f"container {name} {why}", output="\n".join(lines))


def _reached(status: Status, condition: str) -> bool:
    if condition == Condition.COMPLETED:
        return status.state is State.EXITED and status.exit_code == 0
    return status.state is State.RUNNING and (condition == Condition.STARTED or status.health is Health.HEALTHY)


def _lost(status: Status, condition: str, restarts: int) -> str:
    """Why it will not come to that any more; empty while it may."""
    if status.state is State.PAUSED:
        return "is paused"
    if status.state in (State.EXITED, State.CREATED):
        return f"ended with exit code {status.exit_code}" if status.state is State.EXITED else "was not started"
    if condition == STAYS and status.state is not State.RUNNING:
        return f"ended with exit code {status.exit_code or 0}"
    if status.restarts - restarts > (0 if condition == STAYS else _RESTARTS):
        return f"ended with exit code {status.exit_code or 0} again and again"
    return "turned unhealthy" if condition in (Condition.HEALTHY, STAYS) and status.health is Health.UNHEALTHY else ""


def _has_check(found: Mapping[str, Any]) -> bool:
    test = ((found.get("Config") or {}).get("Healthcheck") or {}).get("Test") or ["NONE"]
    return bool(test[0] != "NONE")
