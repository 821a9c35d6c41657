"""Plans as people and programs read them. Values that may be secret are masked before they get here."""

from __future__ import annotations

from typing import Any

from bayplan.models import Kind
from bayplan.reconcile import readable
from bayplan.reconcile.plan import Action, FieldChange, Plan, Step

_SIGN = {
    Action.CREATE: "+",
    Action.PULL: "+",
    Action.BUILD: "+",
    Action.DELETE: "-",
    Action.RECREATE: "±",
    Action.UPDATE: "~",
    Action.HEAL: "~",
    Action.RESTART: "~",
    Action.START: ">",
    Action.STOP: "<",
    Action.PAUSE: "=",
}
_ORDER = tuple(Kind)


def as_text(plan: Plan) -> str:
    """The plan for a terminal: a line for each step with its reason, its fields and risks below, counts at the end."""
    if not plan.changed:
        return "\n".join([*_asides(plan), f"Nothing to do: {len(plan.unchanged)} resources are as declared."])
    head = f"Plan for {plan.project or 'single resources'} on {plan.host} ({plan.engine}):"
    return "\n".join([head, "", steps_text(plan), "", *_asides(plan), summary(plan)])


def steps_text(plan: Plan) -> str:
    """The steps alone."""
    steps = sorted(plan.steps, key=lambda item: _ORDER.index(item.resource.kind))
    return "\n".join(line for step in steps for line in _step(step))


def summary(plan: Plan) -> str:
    """The counts of a plan in one line."""
    counts: dict[str, int] = {}
    for step in plan.steps:
        counts[step.action.value] = counts.get(step.action.value, 0) + 1
    done = ", ".join(f"{count} to {action}" for action, count in sorted(counts.items()))
    return f"{done}; {len(plan.unchanged)} unchanged." if done else f"{len(plan.unchanged)} unchanged."


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values, without the declarations (they may hold secrets)."""
    return {**plan.model_dump(mode="json"), "changed": plan.changed}


def before_after(plan: Plan) -> tuple[str, str]:
    """Two texts whose line-by-line difference is the plan (Ansible's diff mode)."""
    before: list[str] = []
    after: list[str] = []
    for step in plan.steps:
        head = str(step.resource)
        if step.action is Action.DELETE:
            before.append(f"{head}: present")
        elif step.action in (Action.CREATE, Action.PULL, Action.BUILD):
            after.append(f"{head}: {step.action.value} ({step.why})")
        else:
            before.append(f"{head}:")
            after.append(f"{head}: {step.action.value} ({step.why})")
            parts = [row for item in step.fields for row in readable.rows(item)]
            before += [f"  {path}: {old}" for path, old, _ in parts]
            after += [f"  {path}: {new}" for path, _, new in parts]
    return "".join(f"{line}\n" for line in before), "".join(f"{line}\n" for line in after)


def _step(step: Step) -> list[str]:
    lines = [f"  {_SIGN[step.action]} {step.action.value:<9} {step.resource}: {step.why}"]
    lines += [f"      {line}" for item in step.fields for line in _field(item)]
    lines += [f"      ! {risk}" for risk in step.risks]
    return lines


def _field(item: FieldChange) -> list[str]:
    return [f"{line}  [{item.how.value}]" for line in field_lines(item)]


def field_lines(item: FieldChange) -> list[str]:
    """What differs of one field, a line for each part of it."""
    return [f"{path}: {before} -> {after}" for path, before, after in readable.rows(item)]


def _asides(plan: Plan) -> list[str]:
    noted = [
        f"Noted: {note.resource}: {', '.join(item.path for item in note.fields)}; nothing changes on the host."
        if note.fields
        else f"Taken over: {note.resource}, as it is."
        for note in plan.noted
    ]
    warned = (f"Warning: {sentence}." for sentence in plan.warnings)
    return [*noted, *warned, *(f"Kept: {sentence}." for sentence in plan.kept)]
