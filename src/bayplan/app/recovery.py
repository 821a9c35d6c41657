"""An apply that takes back what it did when it fails on the way: all of the stack, or the services that ask for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bayplan import app
from bayplan.errors import BayplanError
from bayplan.models import Settings
from bayplan.reconcile.outcome import Outcome
from bayplan.reconcile.plan import Plan
from bayplan.runtime.protocol import Runtime
from bayplan.values import frozen


@frozen
class Recovery:
    """What was taken back after a failure: ``to`` what, the steps of it, and why it could not be, if so."""

    to: str
    outcome: Outcome = Outcome()
    error: BaseException | None = None

    def __str__(self) -> str:
        if self.error is not None:
            return f"the rollback to {self.to} failed too: {self.error}"
        return f"rolled back to {self.to}"


def converge(
    make: Callable[[], Plan],
    runtime: Runtime,
    settings: Settings,
    *,
    on_recovery: Callable[[str], None] = lambda _: None,
    **told: Any,
) -> tuple[Plan, Outcome, Recovery | None]:
    """As ``app.converge``, which is given ``told``; what then became of a failed one, None: it is left as it is.

    With the setting ``on_failure: rollback`` a project goes back to the generation before, if there is one. Else those
    services go back whose ``failure_action`` says so. A stop by a signal takes nothing back. ``on_recovery`` hears
    before it begins what it goes back to.
    """
    made, outcome = app.converge(make, runtime, settings, **told)
    if not outcome.halted or outcome.stopped:
        return made, outcome, None
    to = "what it was"
    try:
        found = _way_back(made, outcome, runtime, settings)
        if found is None:
            return made, outcome, None
        to, back = found
        planned = back()
        if not planned.changed and not planned.noted:
            return made, outcome, None  # what failed has come back by itself, and nothing else was done
        on_recovery(to)
        _, returned = app.converge(back, runtime, settings, **told)
        failure = returned.failed[0][1] if returned.failed else KeyboardInterrupt() if returned.stopped else None
    except BayplanError as error:
        return made, outcome, Recovery(to, error=error)
    return made, outcome, Recovery(to, returned, failure)


def _way_back(
    failed: Plan, outcome: Outcome, runtime: Runtime, settings: Settings
) -> tuple[str, Callable[[], Plan]] | None:
    """To what, and what plans it; None when nothing is taken back."""
    from bayplan.app import history
    from bayplan.reconcile import taking_back

    before = history.generation_before(failed, settings) if settings.on_failure == "rollback" else None
    if before is not None:
        return f"generation {before.number}", lambda: history.plan_return(before, failed, runtime)
    if names := taking_back.services(outcome):
        return f"what ran before of {', '.join(names)}", lambda: taking_back.plan(failed, outcome, runtime)
    return None
