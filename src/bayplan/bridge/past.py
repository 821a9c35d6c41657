"""Generations of a project, the way back, and what drifted from the last one."""

from __future__ import annotations

from typing import Any

from bayplan import app
from bayplan.app import history
from bayplan.bridge import telling
from bayplan.bridge.answers import done, shown
from bayplan.bridge.rooms import Asked
from bayplan.errors import BayplanError, DeclarationError
from bayplan.models import Settings
from bayplan.reconcile.plan import Plan
from bayplan.reconcile.render import as_json, before_after
from bayplan.record.generations import Generation


def generation(asked: Asked) -> dict[str, Any]:
    """The generations that are kept, newest first; with ``rollback_to`` the way back to one, planned and gone."""
    project, wanted = asked.text("project_name"), asked.options.get("rollback_to")
    with asked.opened(project) as (runtime, settings):
        if wanted is None:
            return {"changed": False, "plan": None, "result": None, "generations": _kept(project, settings)}
        number = _number(wanted)

        def make() -> Plan:
            return history.plan_rollback(project, number, runtime, settings)

        if asked.check:
            return {**shown(make()), "result": None, "generations": _kept(project, settings)}
        plan, outcome = app.converge(make, runtime, settings, report=telling.report())
        return {**shown(plan), **done(outcome), "generations": _kept(project, settings)}


def drift_info(asked: Asked) -> dict[str, Any]:
    """What differs from what was applied last."""
    project = asked.text("project_name")
    with asked.opened(project) as (runtime, settings):
        found = history.drift(project, runtime, settings)
    before, after = before_after(found.plan)
    told = {"generation": found.generation, "applied_at": found.applied_at.isoformat(), "applied_by": found.by}
    causes = {str(item.resource): list(item.causes) for item in found.found}
    shown_plan = {"plan": as_json(found.plan), "before": before, "after": after}
    return {"changed": False, "drifted": found.plan.changed, **told, "causes": causes, **shown_plan}


def _number(wanted: object) -> int | None:
    if wanted == "previous":
        return None
    if isinstance(wanted, bool) or not str(wanted).isdecimal():
        raise DeclarationError(f"rollback_to {wanted!r} is no generation", hint="a number of generations, or previous")
    return int(str(wanted))


def _kept(project: str, settings: Settings) -> list[dict[str, Any]]:
    return [_row(number, made) for number, made in history.history(project, settings)]


def _row(number: int, made: Generation | BayplanError) -> dict[str, Any]:
    if isinstance(made, BayplanError):
        return {"number": number, "damaged": str(made)}
    told = {"number": number, "applied_at": made.made_at.isoformat(), "applied_by": made.by, "engine": made.engine}
    return {**told, "summary": made.summary, "note": made.note}
