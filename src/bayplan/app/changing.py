"""Changes: a plan carried out, a verb of containers, and how they are stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from bayplan.errors import StalePlanError
from bayplan.models import Duration, Settings
from bayplan.reconcile.outcome import Outcome
from bayplan.reconcile.plan import Plan
from bayplan.reconcile.stop import Stop
from bayplan.record.journal import Journal, unsettled
from bayplan.runtime.protocol import Report, Runtime, silent

if TYPE_CHECKING:
    from bayplan.reconcile.verbs import Command, Done
    from bayplan.reconcile.walk import Event

_TRIES = 3
_stopper: ContextVar[Stop | None] = ContextVar("stopper", default=None)


def apply(
    wanted: Plan,
    runtime: Runtime,
    settings: Settings,
    *,
    on_event: Callable[[Event], None] | None = None,
    report: Report = silent,
    lock_timeout: Duration | None = None,
    stop: Stop | None = None,
) -> Outcome:
    """Do what the plan says. The outcome tells what was done and what failed; ``Outcome.raise_failure`` raises it."""
    if not wanted.changed and not wanted.noted:
        if wanted.stack is not None and wanted.project and unsettled(settings.state_root / "record.db", wanted.project):
            from bayplan.reconcile import remembering

            remembering.catch_up(wanted, runtime, settings.state_root / "record.db", keep=settings.generations_kept)
        return Outcome()
    from bayplan.reconcile.apply import apply_plan

    journal = Journal(settings.state_root / "record.db")
    try:
        return apply_plan(
            wanted,
            runtime,
            journal,
            workers=settings.workers,
            on_event=on_event or (lambda _: None),
            report=report,
            lock_timeout=lock_timeout,
            stop=stop,
            keep=settings.generations_kept,
        )
    finally:
        journal.close()


def converge(
    make: Callable[[], Plan],
    runtime: Runtime,
    settings: Settings,
    *,
    on_plan: Callable[[Plan], None] = lambda _: None,
    on_event: Callable[[Event], None] | None = None,
    report: Report = silent,
    lock_timeout: Duration | None = None,
) -> tuple[Plan, Outcome]:
    """Plan and apply; plan anew when another change came between.

    SIGTERM, SIGHUP and Ctrl-C stop it at the next boundary between steps. ``on_plan`` gets each plan before it is
    applied. Raises StalePlanError when the host does not come to rest.
    """
    with stop_on_signals() as stop:
        for _ in range(_TRIES):
            made = make()
            on_plan(made)
            try:
                outcome = apply(
                    made, runtime, settings, on_event=on_event, report=report, lock_timeout=lock_timeout, stop=stop
                )
            except StalePlanError as error:
                stale = error
            else:
                return made, outcome
    raise stale


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """A ``Stop`` that SIGINT, SIGTERM and SIGHUP ask; the earlier handlers come back at the end.

    Signals reach the main thread alone. In another it is the one of ``stopped_by``.
    """
    stop = _stopper.get() or Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    earlier = {number: signal.signal(number, lambda *_: stop.request()) for number in names}
    try:
        yield stop
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


@contextmanager
def stopped_by(stop: Stop) -> Iterator[None]:
    """Changes that this thread makes meanwhile end, between two steps, when the event of ``stop`` is set."""
    token = _stopper.set(stop)
    try:
        yield
    finally:
        _stopper.reset(token)


def is_stopped() -> bool:
    """Whether the ``stop`` of ``stopped_by`` was asked for: what waits in such a thread looks at it."""
    stop = _stopper.get()
    return stop is not None and stop.event.is_set()


def command(
    asked: Command,
    names: Collection[str],
    runtime: Runtime,
    settings: Settings,
    *,
    lock_timeout: Duration | None = None,
) -> Done:
    """Do a verb to the named containers, as a change of the host that is journaled. See ``reconcile.verbs``."""
    from bayplan.reconcile.verbs import carry_out

    journal = Journal(settings.state_root / "record.db")
    try:
        return carry_out(asked, names, runtime, journal, workers=settings.workers, lock_timeout=lock_timeout)
    finally:
        journal.close()
