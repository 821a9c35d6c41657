"""A service taken back to what ran before, after its update has failed (``failure_action: rollback``)."""

from __future__ import annotations

from bayplan.models import Container, Image, Stack
from bayplan.reconcile import reasons
from bayplan.reconcile.generations import granted_to
from bayplan.reconcile.outcome import Outcome
from bayplan.reconcile.plan import Plan, Step
from bayplan.reconcile.planner import make_plan
from bayplan.runtime.protocol import Runtime, Scope


def services(outcome: Outcome) -> tuple[str, ...]:
    """Those that ask for it: a failure of theirs has ended the apply."""
    asked = (step.roll for step, _ in outcome.failed if step.roll and step.roll.failure_action == "rollback")
    return tuple(dict.fromkeys(roll.service for roll in asked)) if outcome.halted else ()


def plan(failed: Plan, outcome: Outcome, runtime: Runtime) -> Plan:
    """What brings the replaced containers of these services back; the one that failed has come back by itself.

    They are as they were seen when the failed plan was made. What secrets and configs hold is that of now.
    """
    names = services(outcome)
    before = {}
    for step in outcome.done:
        if step.roll and step.roll.service in names and (held := _before(failed, step)) is not None:
            before[held.name] = held
    pins = {item.image: failed.snapshot.get(item.id).image_digest for item in before.values()}
    stack = Stack(
        name=failed.project,
        images=tuple(Image(name=name) for name in pins),
        containers=tuple(before.values()),
    )
    scope = Scope(names=tuple(item.id for item in before.values()))
    made = make_plan(stack, runtime, scope=scope, pinned=pins, backwards=True)
    made = reasons.not_edited(made, stack, "goes back to what ran before")
    return made.model_copy(update={"note": f"rollback of {', '.join(names)}"})


def _before(failed: Plan, step: Step) -> Container | None:
    found = failed.snapshot.get(step.resource)
    held = (found.declared or found.actual) if found is not None else None
    return granted_to(held, [step.desired]) if isinstance(held, Container) and step.desired is not None else None
