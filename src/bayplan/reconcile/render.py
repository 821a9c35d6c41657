"""Plans as people and programs read them. Values that may be secret are masked before they get here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bayplan.models import Kind, ResourceId
from bayplan.reconcile import readable
from bayplan.reconcile.plan import Action, FieldChange, Plan, Step
from bayplan.reconcile.style import PLAIN, Style, Tone, escaped

_SIGN = {
    Action.CREATE: "+",
    Action.PULL: "+",
    Action.BUILD: "+",
    Action.TAG: "~",
    Action.DELETE: "-",
    Action.RECREATE: "±",
    Action.UPDATE: "~",
    Action.HEAL: "~",
    Action.RESTART: "~",
    Action.START: ">",
    Action.STOP: "<",
    Action.PAUSE: "=",
}
_TONE = {
    Action.DELETE: Tone.REMOVED,
    Action.RECREATE: Tone.REPLACED,
    **dict.fromkeys((Action.CREATE, Action.PULL, Action.BUILD), Tone.MADE),
    **dict.fromkeys((Action.UPDATE, Action.HEAL, Action.RESTART, Action.TAG), Tone.CHANGED),
    **dict.fromkeys((Action.START, Action.STOP), Tone.TURNED),
}
_ORDER = tuple(Kind)
_NO_CAUSES: Mapping[ResourceId, Sequence[str]] = {}


def as_text(plan: Plan, style: Style = PLAIN) -> str:
    """The plan for a terminal: what changes by service and kind, with reasons, fields and risks; counts at the end."""
    if not plan.changed:
        return "\n".join([*_asides(plan, style), f"Nothing to do: {_as_it_is(plan)}."])
    head = escaped(f"Plan for {plan.project or 'single resources'} on {plan.host} ({plan.engine}):")
    risks = sum(len(step.risks) for step in plan.steps)
    marked = f" {risks} risk{'s' * (risks != 1)}, marked with !." if risks else ""
    end = style.paint(Tone.HEADING, summary(plan)) + style.paint(Tone.RISK, marked)
    return "\n".join([head, "", steps_text(plan, style), "", *_asides(plan, style), end])


def _as_it_is(plan: Plan) -> str:
    count = len(plan.unchanged)
    if not count:
        return "there is nothing to remove" if plan.stack is None else "nothing is declared, and nothing is there"
    return f"{count} resources are as declared" if count > 1 else "1 resource is as declared"


def steps_text(plan: Plan, style: Style = PLAIN, causes: Mapping[ResourceId, Sequence[str]] = _NO_CAUSES) -> str:
    """The steps alone, under the service they are of, or their kind. Those that say the same share their lines.

    ``causes`` stand below the steps that they led to.
    """
    groups: dict[str, dict[str, list[Step]]] = {}
    for step in sorted(plan.steps, key=lambda item: _ORDER.index(item.resource.kind)):
        title = f"service {step.service}" if step.service else f"{step.resource.kind.value}s"
        alike = step.model_dump_json(include={"action", "why", "fields", "risks", "roll"}) + step.resource.kind
        alike += "".join(causes.get(step.resource, ()))
        groups.setdefault(title, {}).setdefault(alike, []).append(step)
    blocks = (
        [
            style.paint(Tone.HEADING, title),
            *(line for alike in found.values() for line in _steps(alike, style, causes.get(alike[0].resource, ()))),
        ]
        for title, found in groups.items()
    )
    return "\n\n".join("\n".join(lines) for lines in blocks)


def summary(plan: Plan) -> str:
    """The counts of a plan in one line."""
    done = ", ".join(f"{count} to {action}" for action, count in plan.counts.items())
    return f"{done}; {len(plan.unchanged)} unchanged." if done else f"{len(plan.unchanged)} unchanged."


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values, as docs/schemas/plan.json describes them; no declarations, which may hold secrets."""
    return plan.model_dump(mode="json")


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


def _steps(alike: Sequence[Step], style: Style, causes: Sequence[str]) -> Iterator[str]:
    """Steps that say the same, of which each is named."""
    step = alike[0]
    names = f"{step.resource.kind.value} {', '.join(item.resource.name for item in alike)}"
    what = style.paint(_TONE[step.action], f"{_SIGN[step.action]} {step.action.value:<9}")
    yield f"  {what} {escaped(f'{names}: {step.why}')}"
    yield from (f"      {style.paint(Tone.TURNED, f'because {cause}')}" for cause in causes)
    several = len({item.why for item in step.fields}) > 1
    for item in step.fields:
        way = style.paint(Tone.ASIDE, f"[{item.how.value}{f'; {item.why}' * several}]")
        for path, before, after in readable.rows(item):
            old, new = style.paint(Tone.REMOVED, before), style.paint(Tone.MADE, after)
            yield f"      {escaped(path)}: {old} -> {new}  {way}"
    if step.roll:
        yield f"      {style.paint(Tone.ASIDE, f'= {step.roll}')}"
    yield from (f"      {style.paint(Tone.RISK, f'! {risk}')}" for risk in step.risks)


def field_lines(item: FieldChange) -> list[str]:
    """What differs of one field, a line for each part of it."""
    return [escaped(f"{path}: {before} -> {after}") for path, before, after in readable.rows(item)]


def meanwhile(plan: Plan) -> list[str]:
    """A line on who changes the project meanwhile; none when nobody does."""
    if not plan.meanwhile:
        return []
    return [escaped(f"Note: another change of it is running ({plan.meanwhile}): what is shown may be half done.")]


def _asides(plan: Plan, style: Style) -> list[str]:
    noted = [
        f"Noted: {note.resource}: {_paths(note.fields)}; nothing changes on the host."
        if note.fields
        else f"Taken over: {note.resource}, as it is."
        for note in plan.noted
    ]
    warned = (style.paint(Tone.RISK, f"Warning: {sentence}.") for sentence in plan.warnings)
    return [*meanwhile(plan), *map(escaped, noted), *warned, *(escaped(f"Kept: {sentence}.") for sentence in plan.kept)]


def _paths(fields: Sequence[FieldChange]) -> str:
    """Fields as a Compose file spells them."""
    return ", ".join(path for item in fields for path, _, _ in readable.rows(item))
