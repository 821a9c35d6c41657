"""Until a stack is up: each container runs, and is healthy where it has a health check."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bayplan import app
from bayplan.bridge.answers import failure
from bayplan.errors import BayplanError
from bayplan.models import Condition, Duration, Stack
from bayplan.reconcile.one_off import of_services
from bayplan.runtime.protocol import LIVE, Health, Runtime, Scope

_USUAL_S = 300


def settled(stack: Stack, options: Mapping[str, Any], runtime: Runtime) -> dict[str, Any]:
    """A failure when one ends, turns unhealthy, or the time has passed; else nothing.

    One that has ended with success by now has done its work.
    """
    wanted = of_services(stack, options["services"]) if options.get("services") else stack
    deadline = time.monotonic() + float(options.get("wait_timeout") or _USUAL_S)
    there = runtime.observe(Scope(names=tuple(item.id for item in wanted.containers)))
    try:
        for item in wanted.containers:
            found = there.get(item.id)
            if found is not None and found.status.state not in LIVE and found.status.exit_code == 0:
                continue
            checked = found is not None and found.status.health is not Health.NONE
            condition = Condition.HEALTHY if checked else Condition.STARTED
            left = Duration(seconds=max(0.0, deadline - time.monotonic()))
            runtime.wait(item.name, condition.value, left, stopped=app.is_stopped)
    except BayplanError as error:
        return failure(error)
    return {}
