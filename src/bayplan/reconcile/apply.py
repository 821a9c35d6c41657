"""Carries a plan out: the graph walked in parallel by a bounded pool, each step journalled, exactly as planned.

``apply`` holds the host's lock and observes again; when what the plan was made on has moved, it refuses. A failed step
stops what depends on it and starts nothing new; what is under way comes to its end, so that a stop (an error, Ctrl-C,
SIGTERM) always falls on a boundary between steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bayplan.errors import BayplanError, StalePlanError
from bayplan.models import Duration
from bayplan.reconcile import remembering
from bayplan.reconcile.basis import fingerprint
from bayplan.reconcile.execute import Executor
from bayplan.reconcile.outcome import Outcome
from bayplan.reconcile.plan import Plan
from bayplan.reconcile.stop import Stop
from bayplan.reconcile.walk import Event, Walk
from bayplan.record import engines
from bayplan.record.generations import Generations
from bayplan.record.journal import FAILED, Journal
from bayplan.runtime.protocol import Report, Runtime, silent


def _no_event(_: Event) -> None:
    """Tell nobody."""


def apply_plan(
    plan: Plan,
    runtime: Runtime,
    journal: Journal,
    *,
    workers: int = 8,
    on_event: Callable[[Event], None] = _no_event,
    report: Report = silent,
    lock_timeout: Duration | None = None,
    stop: Stop | None = None,
    keep: int = 10,
) -> Outcome:
    """Do what the plan says. Step errors are in the outcome.

    Raises StalePlanError, BusyError or ConflictError (another engine runs the project) before any change.

    A whole one leaves a generation of its project, of which ``keep`` are kept.

    ``stop`` ends it at the next boundary between steps; the outcome then says ``stopped``.
    """
    if not plan.changed and not plan.noted:
        return Outcome()
    stop = stop or Stop()
    with runtime.lock(f"apply of {plan.project or 'single resources'}", lock_timeout):
        if fingerprint(runtime.observe(plan.scope)) != plan.basis:
            raise StalePlanError("the host changed after this plan was made", hint="make a new plan")
        engines.claim(journal, plan.project, plan.engine)
        with journal.run(plan.project, [str(item.resource) for item in plan.steps]) as number:
            executor = Executor(plan, runtime, report, stop.event)
            for note in plan.noted:
                executor.note(note)
            walk = Walk(executor, lambda events: _tell(events, journal, number, on_event), workers)
            with stop.walking():
                walk.run(plan.steps)
            stopped = stop.event.is_set() and bool(walk.skipped)
            outcome = Outcome(tuple(walk.done), tuple(walk.failed), tuple(walk.skipped), stopped, walk.halted)
            remembering.forget_gone(plan, runtime, journal)
            whole = not outcome.failed and not outcome.skipped
            if whole and remembering.remember(plan, runtime, Generations(journal), keep=keep):
                remembering.settle(plan, journal, number)
            elif not whole or remembering.is_of_project(plan):
                journal.came_to(number, FAILED)  # the next apply records what is there, even where it has nothing to do
    return outcome


def _tell(events: Sequence[Event], journal: Journal, number: int, on_event: Callable[[Event], None]) -> None:
    """Journal phases of steps, as one change, and tell the listener."""
    journal.steps_reached(
        number,
        [(str(item.step.resource), item.step.action.value, item.phase.value, _text(item.error)) for item in events],
    )
    for event in events:
        on_event(event)


def _text(error: BaseException | None) -> str:
    kind = "" if error is None or isinstance(error, BayplanError) else f"{type(error).__name__}: "
    return f"{kind}{error}" if error else ""
