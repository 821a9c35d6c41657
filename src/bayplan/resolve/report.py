"""What one environment declares and runs, as a value that can be kept in a file and compared with others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from bayplan import __version__
from bayplan.errors import DeclarationError, NotFoundError, UnsupportedError
from bayplan.models import Allowance, Container, Kind, Model, Network, Pin, Stack, Volume, labels
from bayplan.reconcile.diff import MASK
from bayplan.record.generations import Generation, now
from bayplan.resolve.canonical import Canon, Places, as_pinned
from bayplan.resolve.fingerprint import Fingerprint, fingerprint
from bayplan.runtime.protocol import Facts, Health, Observed, Snapshot

FORMAT = 1
_MAX_BYTES = 64 << 20


class Report(Model):
    """One environment. ``declared`` and ``running`` are places and values; ``running`` is None for a declaration.

    ``host`` has what counts of the host: engine, kernel. Values that may be secrets are masked.
    """

    format: int = FORMAT
    made_by: str = __version__
    made_at: datetime
    project: str
    generation: int | None = Field(None, description="The one that was applied last; None where none is kept.")
    fingerprint: Fingerprint
    allowed: tuple[Allowance, ...] = ()
    host: dict[str, str] = Field(default_factory=dict)
    declared: dict[str, Any]
    running: dict[str, Any] | None = None


def of_declaration(stack: Stack) -> Report:
    """What a declaration says, with nothing of any host."""
    return _report(stack, Canon(stack).declared())


def of_host(made: Generation | None, snapshot: Snapshot, facts: Facts, project: str) -> Report:
    """What a host declared last (``made``; None where no generation is kept) and what it runs.

    Raises NotFoundError when it has nothing of the project.
    """
    found = [item for item in snapshot.resources.values() if not item.superseded and not _is_one_off(item)]
    if made is None and not any(item.actual.kind is Kind.CONTAINER for item in found):
        raise NotFoundError(f"there is nothing of project {project}", where=f"host {facts.host}", hint="apply it first")
    stack = _known(made, found, project)
    canon = Canon(stack, made.contents if made else None)
    declared = canon.declared() | (_withheld(made, canon) if made else {})
    running = _running(canon, found, stack, declared)
    host = {"engine": facts.engine, "engine.version": facts.version, "bayplan": __version__}
    host |= {f"kernel.{name}": value for name, value in facts.kernel.items()}
    report = _report(stack, declared)
    update = {"running": running, "host": host, "generation": made.number if made else None}
    return report.model_copy(update=update)


def _report(stack: Stack, declared: Places) -> Report:
    print_ = fingerprint(declared, stack.allowed)
    return Report(
        made_at=now(),
        project=stack.name,
        fingerprint=print_,
        allowed=stack.allowed,
        declared=dict(sorted(declared.items())),
    )


def _known(made: Generation | None, found: list[Observed], project: str) -> Stack:
    """The declaration that was applied last; without a generation what each resource was made from."""
    if made is not None:
        return made.stack
    declared = [item.declared or item.actual for item in found]
    return Stack(
        name=project,
        containers=tuple(item for item in declared if isinstance(item, Container)),
        networks=tuple(item for item in declared if isinstance(item, Network)),
        volumes=tuple(item for item in declared if isinstance(item, Volume)),
    )


def _withheld(made: Generation, canon: Canon) -> Places:
    """Names of variables whose values are in no record."""
    services = {item.name: item.service or canon.short(item.name) for item in made.stack.containers}
    return {
        f"services.{services[name]}.environment.{variable}": MASK
        for name, variables in made.withheld.items()
        if name in services
        for variable in variables
    }


def _running(canon: Canon, found: list[Observed], stack: Stack, declared: Places) -> Places:
    """What runs. Of networks and volumes what is declared: the rest of them the host has chosen."""
    places: Places = {}
    services: dict[str, list[Observed]] = {item.service or canon.short(item.name): [] for item in stack.containers}
    for item in found:
        if isinstance(item.actual, Container):
            services.setdefault(item.actual.service or canon.short(item.id.name), []).append(item)
        elif isinstance(item.actual, (Network, Volume)):
            shown = canon.resource(f"{item.actual.kind.value}s", item.actual)
            places |= {path: value for path, value in shown.items() if path in declared}
    pins = {item.name: item.pin for item in stack.images if item.pin is not None}
    for service, items in services.items():
        items.sort(key=lambda item: item.id.name)
        if not items:
            places[f"services.{service}.state"] = "absent"
            continue
        places |= canon.service(service, [item.actual for item in items if isinstance(item.actual, Container)])
        live = [_live(item, pins) for item in items]
        for name in live[0]:
            values = [one[name] for one in live]
            value = values[0] if all(one == values[0] for one in values) else values
            if value not in ("", []):
                places[f"services.{service}.{name}"] = value
    return dict(sorted(places.items()))


def _live(item: Observed, pins: Mapping[str, Pin]) -> dict[str, Any]:
    """What a container is doing, the digest of its image as the lock has it, and what is broken of it."""
    health = item.status.health
    return {
        "state": item.status.state.value,
        "health": "" if health is Health.NONE else health.value,
        "image.digest": as_pinned(item.image_digest, pins.get(getattr(item.actual, "image", ""))),
        "defects": sorted(item.defects),
    }


def _is_one_off(item: Observed) -> bool:
    return isinstance(item.actual, Container) and labels.ONE_OFF in item.actual.labels


def load(path: Path) -> Report:
    """Read a report that was kept. Raises NotFoundError, DeclarationError for what is none, UnsupportedError."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DeclarationError("this is no report: it is too large", where=str(path), hint=_HINT)
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise NotFoundError(f"the report cannot be read: {error.strerror}", where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise DeclarationError(f"this is no report: {error}", where=str(path), hint=_HINT) from error
    return read(data, str(path))


def read(data: Any, where: str) -> Report:
    """A report of its JSON values. Raises as ``load``."""
    version = data.get("format") if isinstance(data, dict) else None
    if isinstance(version, int) and version > FORMAT:
        what = f"this report was made by bayplan {data.get('made_by', 'of a newer version')}"
        raise UnsupportedError(what, where=where, hint="upgrade this one")
    try:
        return Report.model_validate(data)
    except ValidationError as error:
        raise DeclarationError("this is no report of bayplan", where=where, hint=_HINT) from error


_HINT = "make one with `bayplan parity --save FILE`"
