"""Why a project drifted, as far as it can be known: from what is there, what the engine noted, and the journal.

A cause is said only where something tells it. What changed without a trace is said to have been changed from outside.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from pydantic import Field, computed_field

from bayplan.models import Kind, Model, ResourceId
from bayplan.reconcile.plan import Action, Plan, Step
from bayplan.record.generations import Generation
from bayplan.record.journal import Journal
from bayplan.runtime.protocol import Observed, Runtime, Snapshot, State, Status
from bayplan.values import frozen

DRIFT_VERSION = 1
_NEVER = datetime.min.replace(tzinfo=UTC)
_SIGNALLED = 128
_COMMANDS = {"remove": "rm"}
_OUTSIDE = "from outside, by another program or by hand"


class Drifted(Model):
    """One resource that differs, and why, as sentences."""

    resource: ResourceId
    causes: tuple[str, ...]


class Drift(Model):
    """What differs from the last generation. ``plan``: what brings it back."""

    version: int = DRIFT_VERSION
    generation: int
    applied_at: datetime
    by: str
    found: tuple[Drifted, ...] = Field((), description="A resource for each step of the plan, with its causes.")
    plan: Plan

    @computed_field(description="Whether anything differs.")  # type: ignore[prop-decorator]
    @property
    def drifted(self) -> bool:
        """Whether anything differs."""
        return self.plan.changed


@frozen
class _Told:
    """One thing that happened: ``verb`` of Bayplan, or ``action`` that the engine noted."""

    time: datetime
    verb: str = ""
    action: str = ""
    detail: str = ""


def drift(made: Generation, plan: Plan, runtime: Runtime, journal: Journal) -> Drift:
    """The drift of a plan that was made from a generation. Reads only."""
    snapshot: Snapshot = plan.snapshot
    told = _told(made, runtime, journal) if plan.changed else {}
    found = tuple(
        Drifted(
            resource=step.resource,
            causes=tuple(_causes(step, snapshot.get(step.resource), told.get(str(step.resource), ()), plan.engine)),
        )
        for step in plan.steps
    )
    return Drift(generation=made.number, applied_at=made.made_at, by=made.by, found=found, plan=plan)


def _told(made: Generation, runtime: Runtime, journal: Journal) -> Mapping[str, Sequence[_Told]]:
    """What happened to each resource since the generation was made, oldest first."""
    found: dict[str, list[_Told]] = {}
    for at, resource, verb, failed in journal.verbs(made.project, made.made_at):
        found.setdefault(resource, []).append(_Told(at, verb=verb, detail="which failed" if failed else ""))
    for when, project, name, action, detail in runtime.happened():
        if project == made.project and when >= made.made_at:
            key = str(ResourceId(kind=Kind.CONTAINER, name=name))
            found.setdefault(key, []).append(_Told(when, action=action, detail=detail))
    return {key: sorted(items, key=lambda item: item.time) for key, items in found.items()}


def _causes(step: Step, there: Observed | None, told: Sequence[_Told], engine: str) -> Iterator[str]:
    if step.resource.kind is Kind.IMAGE:
        yield (
            "its name is gone from this host"
            if there is None
            else ("its name stands for another image: it was tagged, pulled or built since")
        )
    elif there is None:
        yield f"it was removed {_by(told, ('remove', 'delete'), ('destroy',), engine)}"
    elif step.action is Action.DELETE:
        yield "it came since, under the name of this project, and was not applied"
    else:
        since = [item for item in told if item.time >= (there.status.started_at or _NEVER)]
        yield from _of_life(there.status, since, engine)
        yield from (f"{sentence}: changed {_OUTSIDE}" for sentence in there.defects)
        yield from _of_fields(step, since, engine)


def _of_life(status: Status, told: Sequence[_Told], engine: str) -> Iterator[str]:
    if status.state is State.PAUSED:
        yield f"it was paused {_by(told, ('pause',), ('pause',), engine)}"
    elif status.state is State.CREATED:
        begun = _last(told, ("start", "restart"), ())
        how = _by(told, ("start", "restart"), (), engine)
        yield f"it was started {how}" if begun else "it was made and has never been started"
    elif status.state is State.EXITED:
        yield _end(status, told, engine)


def _end(status: Status, told: Sequence[_Told], engine: str) -> str:
    when, code = _at(status.finished_at), status.exit_code
    if status.oom_killed:
        return f"the kernel killed it{when}: its memory limit was reached"
    asked = ("stop", "kill", "restart"), ("stop", "kill")
    if status.on_request or _last(told, *asked):
        return f"it was stopped {_by(told, *asked, engine)}"
    if code is None:
        return f"its process ended{when}, with the host or together with its monitor: nobody saw how"
    if code > _SIGNALLED and (name := _signal(code - _SIGNALLED)):
        return f"its process was ended by {name}{when}, which neither Bayplan nor the engine sent"
    return f"its process ended by itself{when} with exit code {code}"


def _of_fields(step: Step, told: Sequence[_Told], engine: str) -> Iterator[str]:
    names = dict.fromkeys(item.path.partition("[")[0] for item in step.fields)
    for name in names:
        if name == "image.digest":
            yield "it was made from another image, which its name stood for then"
        elif name in ("secrets", "configs"):
            yield f"what a file of its {name} holds was changed {_OUTSIDE}"
        elif name == "networks":
            how = ("connect", "disconnect")
            yield f"its networks were changed {_by(told, how, how, engine)}"
        else:
            yield f"{name} was changed {_by(told, ('update',), ('update',), engine)}"


def _by(told: Sequence[_Told], verbs: Collection[str], actions: Collection[str], engine: str) -> str:
    """By whom and when; a verb of Bayplan is known for what it is, what an engine did was asked by another program."""
    found = _last(told, verbs, actions)
    if found is None:
        return _OUTSIDE
    detail = f", {found.detail}" if found.detail else ""
    if found.verb:
        return f"by `bayplan {_COMMANDS.get(found.verb, found.verb)}`{_at(found.time)}{detail}"
    if engine == "native":
        return f"{_OUTSIDE}{_at(found.time)}{detail}"
    return f"through {engine.capitalize()} (as `{engine} {_ENGINE_WORDS.get(found.action, found.action)}` does)" + (
        f"{_at(found.time)}{detail}"
    )


_ENGINE_WORDS = {"destroy": "rm", "connect": "network connect", "disconnect": "network disconnect"}


def _last(told: Sequence[_Told], verbs: Collection[str], actions: Collection[str]) -> _Told | None:
    """The last verb of Bayplan among them, else what the engine noted last."""
    by_verb = [item for item in told if item.verb in verbs]
    found = by_verb or [item for item in told if item.action in actions]
    return found[-1] if found else None


def _at(time: datetime | None) -> str:
    return f" at {time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if time else ""


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""
