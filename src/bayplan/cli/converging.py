"""Plan, show, do: what the verbs that change a host have in common."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from bayplan import app
from bayplan.cli.colour import style
from bayplan.cli.common import lock_timeout
from bayplan.cli.progress import Ticker
from bayplan.errors import BayplanError, DeclarationError
from bayplan.models import Settings
from bayplan.reconcile import render
from bayplan.reconcile.outcome import Outcome
from bayplan.reconcile.plan import Plan
from bayplan.runtime.protocol import Runtime


def carry_out(
    options: Namespace, make: Callable[[], Plan], runtime: Runtime, settings: Settings, *, recovers: bool = False
) -> int:
    """Plan, show, do; gives the exit code, and leaves the plan as ``options.made``.

    ``recovers``: a failure on the way may take back what was done.
    """
    limit = lock_timeout(options)

    def show(made: Plan) -> None:
        if not options.json:
            print(render.as_text(made, style(options)), flush=True)

    def turn_back(to: str) -> None:
        if not options.json:
            print(f"It failed on the way. Going back to {to}:", flush=True)

    with Ticker(quiet=options.json) as ticker:
        told: dict[str, Any] = {
            "on_plan": show,
            "on_event": ticker.event,
            "report": ticker.report,
            "lock_timeout": limit,
        }
        if recovers:
            from bayplan.app import recovery

            made, outcome, back = recovery.converge(make, runtime, settings, on_recovery=turn_back, **told)
        else:
            made, outcome = app.converge(make, runtime, settings, **told)
            back = None
    options.made = made
    if options.json:
        done = {**_json(outcome), "rolled_back": back and {"to": back.to, "text": str(back), **_json(back.outcome)}}
        print(json.dumps({"plan": render.as_json(made), **done}))
        return 1 if outcome.failed else 130 if outcome.stopped else 0
    if outcome.skipped:
        print(f"Not started: {', '.join(str(item.resource) for item in outcome.skipped)}.", file=sys.stderr)
    for _, other in outcome.failed[1:]:
        print(f"Failed too: {other}", file=sys.stderr)
    try:
        outcome.raise_failure()
    except BayplanError as error:
        # 2 says that nothing was changed.
        error.exit_code = 1 if outcome.done and error.exit_code == DeclarationError.exit_code else error.exit_code
        if back is not None:
            error.hint = "; ".join(part for part in (error.hint, str(back)) if part)
        raise
    return 0


def _json(outcome: Outcome) -> dict[str, Any]:
    return {
        "changed": outcome.changed,
        "done": [str(item.resource) for item in outcome.done],
        "failed": [{"resource": str(item.resource), "error": str(error)} for item, error in outcome.failed],
        "skipped": [str(item.resource) for item in outcome.skipped],
        "stopped": outcome.stopped,
    }
