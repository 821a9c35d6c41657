"""Carries a plan out: the graph walked in parallel by a bounded pool, each step journalled, exactly as planned.

``apply`` holds the host's lock and observes again; when what the plan was made on has moved, it refuses. A failed step
stops what depends on it and starts nothing new; what is under way comes to its end, so that a stop (an error, Ctrl-C,
SIGTERM) always falls on a boundary between steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from enum import StrEnum

from bayplan.errors import BayplanError, StalePlanError, StoppedError
from bayplan.models import Duration, ResourceId
from bayplan.reconcile.execute import Executor
from bayplan.reconcile.plan import Plan, Step
from bayplan.reconcile.planner import fingerprint
from bayplan.reconcile.stop import Stop
from bayplan.record.journal import Journal
from bayplan.runtime.protocol import Report, Runtime, silent


class Phase(StrEnum):
    """Where a step is."""

    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Event:
    """A step changed phase; ``seconds`` since it started."""

    step: Step
    phase: Phase
    seconds: float = 0.0
    error: BaseException | None = None


@dataclass(frozen=True)
class Outcome:
    """What an apply did."""

    done: tuple[Step, ...] = ()
    failed: tuple[tuple[Step, BaseException], ...] = ()
    skipped: tuple[Step, ...] = ()
    stopped: bool = False
    """Told to stop before it had done everything."""

    @property
    def changed(self) -> bool:
        """Whether anything was changed."""
        return bool(self.done)

    def raise_failure(self) -> None:
        """Raise the first step's error, if one failed; KeyboardInterrupt when the apply was stopped."""
        if self.failed:
            raise self.failed[0][1]
        if self.stopped:
            raise KeyboardInterrupt


def _no_event(_: Event) -> None:
    """Tell nobody."""


@dataclass
class _Run:
    """The state of one apply."""

    pending: dict[ResourceId, Step]
    executor: Executor
    journal: Journal
    number: int
    on_event: Callable[[Event], None]
    running: dict[Future[None], tuple[Step, float]] = field(default_factory=dict)
    done: list[Step] = field(default_factory=list)
    failed: list[tuple[Step, BaseException]] = field(default_factory=list)

    def note(self, event: Event) -> None:
        """Journal a step's phase and tell the listener."""
        error = event.error
        kind = "" if error is None or isinstance(error, BayplanError) else f"{type(error).__name__}: "
        text = f"{kind}{error}" if error else ""
        self.journal.step(self.number, str(event.step.resource), event.step.action.value, event.phase.value, text)
        self.on_event(event)


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
) -> Outcome:
    """Do what the plan says. Raises StalePlanError or BusyError before any change; step errors are in the outcome.

    ``stop`` ends it at the next boundary between steps; the outcome then says ``stopped``.
    """
    if not plan.changed and not plan.noted:
        return Outcome()
    stop = stop or Stop()
    with runtime.lock(f"apply of {plan.project or 'single resources'}", lock_timeout):
        if fingerprint(runtime.observe(plan.scope)) != plan.basis:
            raise StalePlanError("the host changed after this plan was made", hint="make a new plan")
        with journal.run(plan.project, [str(item.resource) for item in plan.steps]) as number:
            executor = Executor(plan, runtime, report, stop.event)
            for note in plan.noted:
                executor.note(note)
            pending = {item.resource: item for item in plan.steps}
            with stop.walking():
                return _walk(_Run(pending, executor, journal, number, on_event), workers)


def _walk(run: _Run, workers: int) -> Outcome:
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="apply") as pool:
        try:
            while True:
                _submit_ready(run, pool)
                if not run.running:
                    break
                finished, _ = wait(run.running, return_when=FIRST_COMPLETED)
                for future in finished:
                    _settle(future, run)
        except BaseException:
            run.executor.stop.set()
            raise
    for step in run.pending.values():
        run.note(Event(step, Phase.SKIPPED))
    stopped = run.executor.stop.is_set() and bool(run.pending)
    return Outcome(tuple(run.done), tuple(run.failed), tuple(run.pending.values()), stopped)


def _submit_ready(run: _Run, pool: ThreadPoolExecutor) -> None:
    if run.failed or run.executor.stop.is_set():
        return
    busy = {step.resource for step, _ in run.running.values()}
    for resource, step in list(run.pending.items()):
        if any(need in run.pending or need in busy for need in step.needs):
            continue
        del run.pending[resource]
        busy.add(resource)
        run.note(Event(step, Phase.STARTED))
        run.running[pool.submit(run.executor.execute, step)] = (step, time.monotonic())


def _settle(future: Future[None], run: _Run) -> None:
    step, began = run.running.pop(future)
    seconds = time.monotonic() - began
    error = future.exception()
    if isinstance(error, StoppedError):
        run.pending[step.resource] = step
    elif error is None:
        run.done.append(step)
        run.note(Event(step, Phase.DONE, seconds))
    else:
        run.failed.append((step, error))
        run.note(Event(step, Phase.FAILED, seconds, error))
