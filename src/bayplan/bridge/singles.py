"""Single resources of several kinds in one plan, each answered for itself.

``singles`` takes ``resources``, a list: ``kind``, ``name``, ``fields`` (those of the model), of a container ``image``
(``pull``, ``platform``), and ``state``: absent, or of a container stopped. One that fails, or cannot be planned, keeps
no other from being done. ``lock_timeout`` is the longest wait for another change of the host.
``observed`` takes ``resources`` too, of which ``kind`` and ``name`` count, and changes nothing.
Both answer with ``answers``, in the order of the list: ``kind``, ``name``, ``error`` (a failure as the bridge has it,
or null) and ``observed``: null for what is not there, else what is. Values in it are not masked: who asks keeps them.
A check has the plan alone.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bayplan import app, engines
from bayplan.app import kept
from bayplan.bridge.answers import failure, shown
from bayplan.bridge.containers import await_health, plan_of
from bayplan.bridge.declared import read
from bayplan.bridge.request import read_ids
from bayplan.bridge.rooms import Asked
from bayplan.bridge.wanted import Wanted
from bayplan.errors import (
    BayplanError,
    BusyError,
    DeclarationError,
    NotFoundError,
    RuntimeFailureError,
    StoppedError,
    UnsupportedError,
    unforeseen,
)
from bayplan.models import Condition, Duration, Kind, ResourceId, Settings
from bayplan.reconcile.outcome import Outcome
from bayplan.reconcile.plan import Plan
from bayplan.runtime.protocol import Observed, Runtime, Scope, Snapshot

Item = Mapping[str, Any]
Errors = dict[ResourceId, dict[str, Any]]
_CONDITIONS = {"healthy": Condition.HEALTHY, "completed": Condition.COMPLETED}
_OF_ALL = (StoppedError, BusyError)
"""Errors that every one of several would meet again."""


def singles(asked: Asked) -> dict[str, Any]:
    """The plan, or what came of it, for each."""
    items = list(asked.options.get("resources") or ())
    with asked.opened() as (runtime, settings):
        if asked.check:
            return shown(_plan(items, runtime, settings))
        changed, errors = _converged(items, runtime, settings, _limit(asked))
        return {"changed": changed, "answers": _answers(items, errors, runtime)}


def observed(asked: Asked) -> dict[str, Any]:
    """What is there of each."""
    with asked.opened() as (runtime, _):
        return {"changed": False, "answers": _answers(list(asked.options.get("resources") or ()), {}, runtime)}


def held(asked: Asked) -> dict[str, Any]:
    """What a secret or config (``kind``, ``name``) of this host holds, as base64; null for none."""
    settings = engines.chosen(asked.settings)
    if settings.engine == "swarm":
        raise UnsupportedError("a swarm tells nobody what its secrets hold", where=f"{asked.text('kind')} of a swarm")
    kind, name = Kind(asked.text("kind")), asked.text("name")
    content = kept.read(kind, name, settings)
    text = None if content is None else base64.b64encode(content).decode()
    return {"changed": False, "content_base64": text, "path": str(kept.path_of(kind, name, settings))}


def reached(asked: Asked) -> dict[str, Any]:
    """Wait until a container (``name``) is ``healthy``, or ``completed`` with success, ``timeout_s`` at the longest."""
    name, condition = asked.text("name"), _CONDITIONS.get(asked.text("condition"))
    if condition is None:
        raise DeclarationError(f"condition is one of {', '.join(_CONDITIONS)}", where="reached request")
    limit = Duration(seconds=float(asked.options.get("timeout_s") or 0))
    with asked.opened() as (runtime, _):
        if condition is Condition.HEALTHY:
            await_health(name, limit, runtime)
        else:
            runtime.wait(name, condition.value, limit, stopped=app.is_stopped)
    return {"changed": False}


def _plan(items: Sequence[Item], runtime: Runtime, settings: Settings) -> Plan:
    present = [item for item in items if item.get("state") != "absent"]
    absent = read_ids([item for item in items if item.get("state") == "absent"])
    wanted = [_wanted(item) for item in present if item.get("kind") == "container"]
    return plan_of(read(present, settings), wanted, runtime, settings, absent=absent)


def _wanted(item: Item) -> Wanted:
    return Wanted.read({"name": item.get("name"), "state": item.get("state"), "image": "declared"})


def _limit(asked: Asked) -> Duration | None:
    """How long another change of the host is waited for."""
    given = asked.options.get("lock_timeout")
    return None if given is None else Duration.parse(given)


def _converged(
    items: Sequence[Item], runtime: Runtime, settings: Settings, limit: Duration | None
) -> tuple[bool, Errors]:
    """Whether anything was changed, and the errors of those that have one."""
    ids = read_ids(list(items))
    try:
        _, outcome = app.converge(lambda: _plan(items, runtime, settings), runtime, settings, lock_timeout=limit)
    except BayplanError as error:
        if len(items) == 1 or isinstance(error, _OF_ALL):
            return False, dict.fromkeys(ids, failure(error))
        return _merged(_converged([item], runtime, settings, limit) for item in items)
    errors = _errors(outcome)
    skipped = {step.resource for step in outcome.skipped} - errors.keys()
    left = [item for item, name in zip(items, ids, strict=True) if name in skipped]
    if not left or len(left) == len(items):
        said = failure(StoppedError("stopped before it was begun", hint="run it again to go on"))
        return outcome.changed, errors | dict.fromkeys(skipped, said)
    return _merged([(outcome.changed, errors), _converged(left, runtime, settings, limit)])


def _merged(found: Iterable[tuple[bool, Errors]]) -> tuple[bool, Errors]:
    changed, errors = False, Errors()
    for also, more in found:
        changed, errors = changed or also, errors | more
    return changed, errors


def _errors(outcome: Outcome) -> Errors:
    """Of the steps that failed, and of those that needed one of them. Without a failure: of none."""
    errors = {step.resource: _failure(error) for step, error in outcome.failed}
    more = True
    while more:
        more = False
        for step in outcome.skipped:
            cause = next((need for need in step.needs if need in errors), None)
            if step.resource not in errors and cause is not None:
                errors[step.resource] = errors[cause]
                more = True
    return errors


def _failure(error: BaseException) -> dict[str, Any]:
    if isinstance(error, BayplanError):
        return failure(error)
    return failure(RuntimeFailureError(f"OSError: {error}" if isinstance(error, OSError) else unforeseen(error)))


def _answers(items: Sequence[Item], errors: Errors, runtime: Runtime) -> list[dict[str, Any]]:
    ids = read_ids(list(items))
    there = runtime.observe(Scope(names=ids)) if ids else Snapshot()
    rows = []
    for name in ids:
        found = there.get(name)
        row = None if found is None or found.superseded else _row(found, runtime)
        rows.append({"kind": name.kind.value, "name": name.name, "error": errors.get(name), "observed": row})
    return rows


def _row(item: Observed, runtime: Runtime) -> dict[str, Any]:
    row = {
        "id": item.handle,
        "managed": item.managed,
        "project": item.project,
        "image_digest": item.image_digest,
        "defects": list(item.defects),
        "notes": list(item.notes),
        "status": item.status.model_dump(mode="json"),
        "fields": item.actual.model_dump(mode="json", exclude_defaults=True),
    }
    return {**row, **_of_image(item, runtime)}


def _of_image(item: Observed, runtime: Runtime) -> dict[str, Any]:
    if item.actual.kind is not Kind.IMAGE:
        return {}
    try:
        found = runtime.image_verbs.inspect(item.id.name)
    except NotFoundError:
        return {}
    return {"image_digest": str(found.get("Digest") or item.image_digest), "image_id": str(found.get("Id") or "")}
