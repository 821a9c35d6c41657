"""What happened, from the engine (containers) and the journal (what changes did to the rest, and failed at)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from bayplan.models import Kind
from bayplan.record.journal import Journal
from bayplan.runtime.protocol import Runtime


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

    Of containers what the engine noted, under the names of `docker events`; of the rest what the journal keeps.
    """
    found = {*_journaled(project, journal), *_happened(project, runtime)}
    within = (item for item in found if (not since or item.time >= since) and (not until or item.time <= until))
    return sorted(within, key=lambda item: (item.time, item.resource, item.action))


def _journaled(project: str, journal: Journal) -> Iterator[Event]:
    """What changes did to everything but containers, and what they failed at."""
    for at, owner, resource, action, phase, error in journal.steps():
        failed = phase != "done"
        if owner == project and (failed or not resource.startswith(f"{Kind.CONTAINER.value} ")):
            yield Event(datetime.fromisoformat(at), owner, resource, f"{action} failed" if failed else action, error)


def _happened(project: str, runtime: Runtime) -> Iterator[Event]:
    for when, owner, name, action, detail in runtime.happened():
        if owner == project:
            yield Event(when, owner, f"{Kind.CONTAINER.value} {name}", action, detail)
