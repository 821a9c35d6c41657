"""history, diff of generations, rollback and drift: what a project was, and the way back."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from bayplan import engines
from bayplan.app import history as room
from bayplan.cli.colour import style
from bayplan.cli.common import opened, project, settings_of, show, stack_if_any, table
from bayplan.cli.converging import carry_out
from bayplan.errors import BayplanError, DeclarationError
from bayplan.reconcile import render
from bayplan.record.generations import Generation

_HEAD = ("NUMBER", "APPLIED", "BY", "ENGINE", "CHANGES")


def history(options: Namespace) -> int:
    """List the generations that are kept."""
    name = project(options)
    found = room.history(name, _settings(options, name))
    rows = [_row(number, made) for number, made in found]
    show(options, rows, table([_HEAD, *(tuple(str(row[key.lower()]) for key in _HEAD) for row in rows)]))
    return 0


def diff(options: Namespace) -> int:
    """Compare two generations; with one name, say what a container changed in its files."""
    if options.other is None:
        from bayplan.cli import image_archives

        return image_archives.diff(options)
    if not (options.service.isdecimal() and options.other.isdecimal()):
        raise DeclarationError("diff takes one container, or the numbers of two generations", hint="see `history`")
    name = project(options)
    found = room.changes(name, int(options.service), int(options.other), _settings(options, name))
    data = [
        {"resource": str(one), "change": how, "fields": [item.model_dump(mode="json") for item in fields]}
        for one, how, fields in found
    ]
    lines = []
    for one, how, fields in found:
        lines.append(f"{ {'added': '+', 'removed': '-'}.get(how, '~') } {one}: {how}")
        lines += [f"    {line}" for item in fields for line in render.field_lines(item)]
    show(options, data, "\n".join(lines) or "They declare the same.")
    return 0


def rollback(options: Namespace) -> int:
    """Go back to a generation: a plan, shown, then done."""
    name, current = project(options), stack_if_any(options)
    with opened(options) as (runtime, settings):

        def make() -> Any:
            return room.plan_rollback(name, options.generation, runtime, settings, current=current)

        if options.dry_run:
            made = make()
            show(options, render.as_json(made), render.as_text(made, style(options)))
            return 0
        return carry_out(options, make, runtime, settings)


def drift(options: Namespace) -> int:
    """Print what differs from what was applied last, and why, whatever the declaration says by now; or put it back."""
    name = project(options)
    with opened(options) as (runtime, settings):
        if options.heal:
            return carry_out(options, lambda: room.plan_healing(name, runtime, settings), runtime, settings)
        found = room.drift(name, runtime, settings)
    applied = f"generation {found.generation}, applied {found.applied_at:%Y-%m-%d %H:%M} by {found.by}"
    causes = {item.resource: item.causes for item in found.found}
    steps = render.steps_text(found.plan, style(options), causes)
    mends = "`bayplan apply` mends it; so does `bayplan drift --heal`, without a declaration."
    text = f"{name} has drifted from {applied}:\n\n{steps}\n\n{mends}"
    drifted = found.plan.changed
    lines = [*render.meanwhile(found.plan), text if drifted else f"No drift: {name} is as {applied}."]
    show(options, found.model_dump(mode="json"), "\n".join(lines))
    return 5 if options.detailed_exitcode and drifted else 0


def _settings(options: Namespace, name: str) -> Any:
    return engines.chosen(settings_of(options), lambda: name)


def _row(number: int, made: Generation | BayplanError) -> dict[str, Any]:
    if isinstance(made, BayplanError):
        return {"number": number, "applied": "", "by": "", "engine": "", "changes": str(made)}
    return {
        "number": number,
        "applied": made.made_at.isoformat(),
        "by": made.by,
        "engine": made.engine,
        "changes": f"{made.note}: {made.summary}" if made.note else made.summary,
    }
