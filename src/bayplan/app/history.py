"""The verbs of generations: what a project was, how it differs, the way back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bayplan.app import meanwhile
from bayplan.errors import BayplanError, NotFoundError
from bayplan.models import Container, Kind, ResourceId, Settings, Stack
from bayplan.reconcile import causes, parts, reasons
from bayplan.reconcile import generations as room
from bayplan.reconcile.causes import Drift
from bayplan.reconcile.diff import MASK
from bayplan.reconcile.plan import Action, Extent, FieldChange, Plan
from bayplan.reconcile.planner import default_scope, make_plan
from bayplan.record.generations import Generation, Generations
from bayplan.record.journal import Journal
from bayplan.runtime.protocol import Runtime, Snapshot


def history(project: str, settings: Settings) -> list[tuple[int, Generation | BayplanError]]:
    """The generations of a project that are kept, newest first; for a damaged one, what is wrong with it."""
    found: list[tuple[int, Generation | BayplanError]] = []
    with _generations(settings) as kept:
        for number in reversed(kept.numbers(project)):
            try:
                found.append((number, kept.get(project, number)))
            except BayplanError as error:
                found.append((number, error))
    return found


def changes(
    project: str, older: int, newer: int, settings: Settings
) -> Sequence[tuple[ResourceId, str, tuple[FieldChange, ...]]]:
    """What differs from one generation to another, by resource and field. Raises NotFoundError, CorruptStateError."""
    with _generations(settings) as kept:
        return tuple(room.changes(kept.get(project, older), kept.get(project, newer)))


def plan_rollback(
    project: str, number: int | None, runtime: Runtime, settings: Settings, *, current: Stack | None = None
) -> Plan:
    """What brings a project back to a generation (the one before the last). Images are those of that time.

    Secrets are those of now: of ``current``, the declaration, or of what runs. Back to the last one it is a heal, and
    leaves no other where it only heals: timers run it. Raises NotFoundError for a generation that is not kept,
    DeclarationError for a secret that nobody has.
    """
    with _generations(settings) as kept:
        numbers = kept.numbers(project)
        if number is None:
            if len(numbers) < 2:
                raise NotFoundError(f"project {project} has no generation before this one", hint="see `history`")
            number = numbers[-2]
        made = kept.get(project, number)
    stack = room.restored(made, runtime.observe(default_scope(made.stack)), current)
    heals = number == numbers[-1]
    plan = meanwhile.told(lambda: _plan_back(made, stack, runtime, heals=heals), settings)
    return plan.model_copy(update={"note": ""}) if heals else plan


def generation_before(failed: Plan, settings: Settings) -> Generation | None:
    """What a project can go back to after an apply of all of it has failed; None when there is nothing.

    A failed apply leaves no generation: the last one is that of before, unless it declares the same. A swarm takes its
    services back itself, each by its own policy.
    """
    if not failed.project or failed.stack is None or failed.engine == "swarm":
        return None
    with _generations(settings) as kept:
        numbers = kept.numbers(failed.project)
        made = kept.get(failed.project, numbers[-1]) if numbers else None
    if made is not None and failed.extent is Extent.SERVICES:
        made = parts.of(made, failed.stack)
    return None if made is None or room.is_of(made, failed) else made


def plan_return(made: Generation, failed: Plan, runtime: Runtime) -> Plan:
    """What takes a project back to a generation after a failed apply, with the secrets that it ran with before.

    Of what the generation has not, only what that apply has made goes.
    """
    stack = room.restored(made, failed.snapshot, failed.stack, as_it_ran=True)
    kept = {item.id for item in stack.resources()}
    new = {step.resource for step in failed.steps if step.action is Action.CREATE} - kept
    new = {item for item in new if item.kind is not Kind.VOLUME}

    def absent(found: Snapshot) -> Collection[ResourceId]:
        return new & found.resources.keys()

    return _plan_back(made, stack, runtime, absent=absent, orphans=False).model_copy(update={"extent": failed.extent})


def told_apart(plan: Plan, settings: Settings) -> Plan:
    """A plan of a declaration, in which what a verb has changed since the last generation is no edit of it."""
    if not plan.project:
        return plan
    try:
        with _generations(settings) as kept:
            return reasons.not_edited(plan, _with_withheld(kept.last(plan.project)), reasons.DRIFT)
    except BayplanError:
        return plan  # nothing tells what was applied last


def _with_withheld(made: Generation) -> Stack:
    """What was declared, and variables whose values no generation keeps: theirs are of no declaration."""

    def whole(item: Container) -> Container:
        withheld = dict.fromkeys(made.withheld.get(item.name, ()), MASK)
        return item.model_copy(update={"environment": {**item.environment, **withheld}}) if withheld else item

    return made.stack.model_copy(update={"containers": tuple(map(whole, made.stack.containers))})


def _plan_back(made: Generation, stack: Stack, runtime: Runtime, *, heals: bool = False, **more: Any) -> Plan:
    plan = make_plan(stack, runtime, pinned=_pins(made), stopped=_stopped(made), backwards=True, **more)
    room.check_content(plan)
    plan = _in_its_words(plan, made, heals=heals)
    # What is recorded is what was declared, builds and all: a comparison of environments shows no other declaration.
    stack = stack.model_copy(update={"images": made.stack.images})
    note = f"rollback to generation {made.number}"
    return plan.model_copy(update={"stack": stack, "stopped": made.stopped, "note": note})


def _in_its_words(plan: Plan, made: Generation, *, heals: bool) -> Plan:
    """``heals``: it is the last generation, which the host had."""
    where = f"generation {made.number}"
    return reasons.backwards(plan, made.stack, reasons.DRIFT if heals else f"goes back to {where}", where)


def drift(project: str, runtime: Runtime, settings: Settings) -> Drift:
    """What differs from the last generation of a project, and why. Raises NotFoundError."""
    with _journal(settings) as journal:
        made = Generations(journal).last(project)
        stack = room.restored(made, runtime.observe(default_scope(made.stack)), None, complete=False)
        found = meanwhile.told(lambda: make_plan(stack, runtime, pinned=_pins(made), stopped=_stopped(made)), settings)
        plan = _in_its_words(found, made, heals=True)
        return causes.drift(made, plan, runtime, journal)


def plan_healing(project: str, runtime: Runtime, settings: Settings) -> Plan:
    """What puts a project back to its last generation, without a declaration. Raises as ``plan_rollback`` does."""
    with _journal(settings) as journal:
        number = Generations(journal).last(project).number
    return plan_rollback(project, number, runtime, settings)


def _stopped(made: Generation) -> list[ResourceId]:
    return [ResourceId(kind=Kind.CONTAINER, name=name) for name in made.stopped]


def _pins(made: Generation) -> dict[str, str]:
    return {name: digest for name, digest in made.digests.items() if digest}


@contextmanager
def _generations(settings: Settings) -> Iterator[Generations]:
    with _journal(settings) as journal:
        yield Generations(journal)


@contextmanager
def _journal(settings: Settings) -> Iterator[Journal]:
    journal = Journal(settings.state_root / "record.db", to_read=True)
    try:
        yield journal
    finally:
        journal.close()
