"""events: what happened, and what happens."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from dataclasses import asdict
from datetime import UTC, datetime

from bayplan import app
from bayplan.cli.common import opened, project
from bayplan.cli.printable import printable
from bayplan.errors import DeclarationError
from bayplan.load.moments import moment
from bayplan.reconcile.events import Event

_POLL_S = 0.5


def events(options: Namespace) -> int:
    """Print them: those since ``--since`` (now), then new ones until ``--until`` (for ever), as docker events does."""
    wanted = _filters(options.filter)
    since = moment(options.since, "--since") or datetime.now(UTC)
    until = moment(options.until, "--until")
    # A verdict that stays the same is told once.
    told: set[Event] = set()
    verdicts: dict[str, str] = {}
    with opened(options) as (runtime, settings):
        name = project(options)
        while True:
            now = datetime.now(UTC)
            for item in app.events(name, runtime, settings, since=since, until=until):
                same = item.action == "health_status" and verdicts.get(item.resource) == item.detail
                if item not in told and not same and _is_wanted(item, wanted):
                    print(_text(item, as_json=options.json), flush=True)
                if item.action == "health_status":
                    verdicts[item.resource] = item.detail
                told.add(item)
            if until and now >= until:
                return 0
            time.sleep(_POLL_S)


def _filters(texts: list[str]) -> dict[str, list[str]]:
    """Values of one key are alternatives, as with docker events. Raises DeclarationError."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in ("event", "container"):
            raise DeclarationError(f"--filter {text!r} is none", hint="event=NAME or container=NAME")
        found.setdefault(key, []).append(value)
    return found


def _is_wanted(item: Event, wanted: dict[str, list[str]]) -> bool:
    mine = {"event": item.action, "container": item.resource.removeprefix("container ")}
    return all(mine[key] in values for key, values in wanted.items())


def _text(item: Event, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({**asdict(item), "time": item.time.isoformat()})
    detail = f" ({printable(item.detail)})" if item.detail else ""
    return f"{item.time.isoformat()} {item.resource} {item.action}{detail}"
