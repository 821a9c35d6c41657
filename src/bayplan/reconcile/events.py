"""What happened, from the journal (what changes and verbs did) and the records (how containers began and ended)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from bayplan.models import Kind
from bayplan.record.journal import Journal
from bayplan.runtime.protocol import Runtime, Scope


@dataclass(frozen=True)
class Event:
    """One thing that happened; ``detail`` is an exit code, a verdict or an error."""

    time: datetime
    project: str
    resource: str
    action: str
    detail: str = ""


def events(
    project: str, runtime: Runtime, journal: Journal, *, since: datetime | None = None, until: datetime | None = None
) -> list[Event]:
    """Those of a project, oldest first.

    The journal keeps every step of a change; of starts, ends and verdicts that no change made, the records keep the
    last of each container.
    """
    found = {*_journaled(project, journal), *_recorded(project, runtime)}
    within = (item for item in found if (not since or item.time >= since) and (not until or item.time <= until))
    return sorted(within, key=lambda item: (item.time, item.resource, item.action))


def _journaled(project: str, journal: Journal) -> Iterator[Event]:
    for at, owner, resource, action, phase, error in journal.steps():
        if owner == project:
            name = action if phase == "done" else f"{action} failed"
            yield Event(datetime.fromisoformat(at), owner, resource, name, error)


def _recorded(project: str, runtime: Runtime) -> Iterator[Event]:
    for item in runtime.observe(Scope(project=project)).of(Kind.CONTAINER):
        live, resource = item.status, str(item.id)
        if live.started_at:
            yield Event(live.started_at, project, resource, "started")
        if live.finished_at:
            code = "" if live.exit_code is None else f"exit code {live.exit_code}"
            yield Event(live.finished_at, project, resource, "die", code)
            if live.oom_killed:
                yield Event(live.finished_at, project, resource, "oom")
        health = runtime.inspect(item.id.name).get("State", {}).get("Health")
        if health and health["Log"]:
            checked = datetime.fromisoformat(health["Log"][-1]["End"]).astimezone(UTC)
            yield Event(checked, project, resource, "health_status", health["Status"])
