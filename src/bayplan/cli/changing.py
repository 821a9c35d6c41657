"""create and update: containers made without a start, and limits changed by hand."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from pydantic import ValidationError

from bayplan import app
from bayplan.cli.common import containers, opened, stack
from bayplan.cli.converging import carry_out as converge
from bayplan.cli.lives import carry_out
from bayplan.errors import DeclarationError
from bayplan.models import Container, Resources, RestartPolicy
from bayplan.reconcile.plan import Plan
from bayplan.reconcile.verbs import Command
from bayplan.runtime.protocol import LIVE

LIMITS = {
    "cpus": "cpus",
    "cpu_period": "cpu_period",
    "cpu_quota": "cpu_quota",
    "cpu_shares": "cpu_shares",
    "cpuset_cpus": "cpuset",
    "cpuset_mems": "cpuset_mems",
    "memory": "memory",
    "memory_reservation": "memory_reservation",
    "memory_swap": "memory_swap",
    "pids_limit": "pids",
}
"""Options, as docker update names them, to fields."""


def create(options: Namespace) -> int:
    """Make what is declared and is not there; what runs stays, and what is made waits for a start."""
    with opened(options) as (runtime, settings):
        wanted = stack(options)

        def plan() -> Plan:
            found = app.status(wanted.name, runtime)
            waiting = [
                item.id
                for item in wanted.containers
                if (there := found.get(item.id)) is None or there.status.state not in LIVE
            ]
            return app.plan(wanted, runtime, stopped=waiting, settings=settings)

        return converge(options, plan, runtime, settings)


def update(options: Namespace) -> int:
    """Change limits and restart policy of containers; those that run go on."""
    limits = {field: given for name, field in LIMITS.items() if (given := getattr(options, name)) is not None}
    if not limits and options.restart is None:
        raise DeclarationError("update changes nothing", hint="such as --memory 512m; see `bayplan update --help`")
    with opened(options) as (runtime, settings):
        chosen = containers(options, runtime)
        changed = tuple(_changed(item.actual, limits, options.restart) for item in chosen)
        return carry_out(options, Command("update", changed=changed), [one.name for one in changed], runtime, settings)


def _changed(held: object, limits: dict[str, Any], restart: str | None) -> Container:
    assert isinstance(held, Container)
    # Zero, or -1 where that is no number of its own, is Docker's word for no limit.
    cleared: dict[str, Any] = {
        name: -1 if name == "pids" else None
        for name, value in limits.items()
        if value in ("0", "-1") and name != "memory_swap"
    }
    values = {**held.resources.model_dump(mode="json"), **limits, **cleared}
    try:
        update: dict[str, Any] = {"resources": Resources.model_validate(values)}
        if restart is not None:
            condition, _, most = restart.partition(":")
            update["restart"] = RestartPolicy.model_validate({"condition": condition, "max_retries": most or None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = str(first["msg"]).removeprefix("Value error, ")
        raise DeclarationError(f"{first['loc'][0] if first['loc'] else 'limits'}: {message}") from error
    return held.model_copy(update=update)
