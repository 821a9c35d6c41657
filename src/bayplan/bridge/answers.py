"""What requests are answered with: plans, what came of them, and failures, as JSON values."""

from __future__ import annotations

from typing import Any

from bayplan.app.recovery import Recovery
from bayplan.errors import BayplanError, StoppedError
from bayplan.reconcile.outcome import Outcome
from bayplan.reconcile.plan import Plan
from bayplan.reconcile.render import as_json, before_after


def failure(error: BayplanError) -> dict[str, Any]:
    """What was wrong and of which type (``bayplan.errors``), where, what to do next, the output of what failed."""
    told = {"where": str(error.where or ""), "hint": error.hint, "output": error.output}
    return {"failed": True, "msg": str(error), "type": type(error).__name__, **told}


def shown(plan: Plan) -> dict[str, Any]:
    """A plan, and its difference as two texts."""
    before, after = before_after(plan)
    return {"changed": plan.changed, "plan": as_json(plan), "diff": {"before": before, "after": after}}


def done(outcome: Outcome, back: Recovery | None = None) -> dict[str, Any]:
    """What was done. When a step failed, its error beside what was done before: that stays changed."""
    done = [str(step.resource) for step in outcome.done]
    result: dict[str, Any] = {
        "done": done,
        "failed": [str(step.resource) for step, _ in outcome.failed],
        "skipped": [str(step.resource) for step in outcome.skipped],
    }
    if back is not None and back.error is None:
        result["rolled_back"] = back.to
    response: dict[str, Any] = {"changed": outcome.changed, "result": result}
    try:
        if outcome.stopped and not outcome.failed:
            names = ", ".join(done) or "nothing"
            raise StoppedError(f"stopped between steps; done: {names}", hint="run it again to go on")
        outcome.raise_failure()
    except BayplanError as error:
        if back is not None:
            error.hint = "; ".join(part for part in (error.hint, str(back)) if part)
        response.update(failure(error))
    return response


def differing(changed: bool, before: str = "", after: str = "", **more: Any) -> dict[str, Any]:
    """The answer of a verb that has no plan; without a change there is no difference."""
    diff = {"before": before, "after": after} if changed else {"before": "", "after": ""}
    return {"changed": changed, "diff": diff, **more}
