"""Generations: compared, gone back to. How they come about: ``remembering``.

A rollback brings back what was declared, not the secrets of that time: those are never recorded. It takes the ones of
now, from the declaration that is there and from what runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from bayplan.errors import DeclarationError
from bayplan.models import Change, Container, Image, Kind, Resource, ResourceId, Stack
from bayplan.models.secret import FileGrant
from bayplan.reconcile.diff import compare
from bayplan.reconcile.graph import OF_SWARM
from bayplan.reconcile.plan import Action, FieldChange, Plan
from bayplan.record.generations import Generation, environment_of, without_secrets
from bayplan.runtime.protocol import Facts, Observed, Snapshot

_R = TypeVar("_R", bound=Resource)
_MAKES = (Action.CREATE, Action.RECREATE)


def restored(
    made: Generation, snapshot: Snapshot, current: Stack | None, *, complete: bool = True, as_it_ran: bool = False
) -> Stack:
    """What a generation declared, with the secrets of now: of the ``current`` declaration, or of what runs.

    ``as_it_ran``: of what runs, by the snapshot, rather than of the declaration. Raises DeclarationError naming a
    variable that nobody has a value for; not ``complete``, it is left out then.
    """
    images = tuple(Image(name=item.name, platform=item.platform, pin=item.pin) for item in made.stack.images)
    containers = tuple(
        granted_to(_with_secrets(item, made.withheld.get(item.name, ()), sources, complete=complete), sources)
        for item in made.stack.containers
        for sources in [_sources(item, snapshot, current)[:: -1 if as_it_ran else 1]]
    )
    stack = made.stack.model_copy(update={"images": images, "containers": containers})
    if not any(item.kind in OF_SWARM for item in stack.resources()):
        return stack
    from bayplan.reconcile import swarm

    def secrets_of_now(item: Resource) -> Resource:
        sources = _sources(item, snapshot, current)
        return _with_secrets(item, made.withheld.get(item.name, ()), sources, complete=complete)

    return swarm.restored(stack, snapshot, current, secrets_of_now)


def is_of(made: Generation, plan: Plan) -> bool:
    """Whether a plan is for what a generation has already: nothing is before it then."""
    if plan.stack is None:
        return False
    declared = {item.id: item for item in without_secrets(plan.stack)[0].resources() if item.kind is not Kind.IMAGE}
    recorded = {item.id: item for item in made.stack.resources() if item.kind is not Kind.IMAGE}
    moved = (image.digest != made.digests.get(name) for name, image in plan.images.items())
    return declared.keys() == recorded.keys() and not any(
        (*moved, *(_fields(recorded[one], item, {}, {}) for one, item in declared.items()))
    )


def check_content(plan: Plan) -> None:
    """Raise DeclarationError when the plan makes a container whose secrets nobody has."""
    for step in plan.steps:
        if step.action not in _MAKES or not isinstance(step.desired, Container):
            continue
        for grant in (*step.desired.secrets, *step.desired.configs):
            if grant.content is None:
                raise DeclarationError(
                    f"what {grant.source} holds is in no generation",
                    where=str(step.resource),
                    hint="run it where the declaration is, so that it is read from there",
                )


def changes(old: Generation, new: Generation) -> Iterator[tuple[ResourceId, str, tuple[FieldChange, ...]]]:
    """What differs from an older to a newer one: resource, ``added``, ``removed`` or ``changed``, and its fields."""
    before = {item.id: item for item in old.stack.resources()}
    after = {item.id: item for item in new.stack.resources()}
    for one in dict.fromkeys((*before, *after)):
        if one not in after:
            yield one, "removed", ()
        elif one not in before:
            yield one, "added", ()
        elif fields := _fields(before[one], after[one], old.digests, new.digests):
            yield one, "changed", fields


def _fields(
    before: Resource, after: Resource, old: Mapping[str, str], new: Mapping[str, str]
) -> tuple[FieldChange, ...]:
    # Both are declarations: what was declared is what there was.
    held = cast(Observed, _Declared(before, before))
    facts = Facts(engine="", version="", host="")
    found = [item.model_copy(update={"why": ""}) for item in compare(after, held, facts)]
    was, now_is = old.get(before.name), new.get(after.name)
    if isinstance(after, Image) and was != now_is:
        found.append(FieldChange(path="digest", before=was, after=now_is, why="", how=Change.RECREATE))
    return tuple(found)


@dataclass(frozen=True)
class _Declared:
    """What ``compare`` looks at of an ``Observed``."""

    actual: Resource
    declared: Resource
    alike: frozenset[str] = frozenset()


def _sources(resource: Resource, snapshot: Snapshot, current: Stack | None) -> list[Resource]:
    """Where secrets of now may be found, the best first."""
    declared = current.find(resource.id) if current else None
    there = snapshot.get(resource.id)
    found = (declared, (there.declared or there.actual) if there else None)
    return [item for item in found if item is not None]


def _with_secrets(resource: _R, names: tuple[str, ...], sources: Sequence[Resource], *, complete: bool) -> _R:
    values = {}
    for name in names:
        holder = next((environment_of(item) for item in sources if name in environment_of(item)), None)
        if holder is None and not complete:
            continue
        if holder is None:
            raise DeclarationError(
                f"the value of {name} is in no generation, as it may be a secret, and nothing that is here has it",
                where=str(resource.id),
                hint="run it where the declaration is, so that it is read from there",
            )
        values[name] = holder[name]
    return resource.model_copy(update={"environment": {**environment_of(resource), **values}})


def granted_to(container: Container, sources: Sequence[Resource]) -> Container:
    """A container with what its secrets and configs hold now, by ``sources``."""
    held = [item for item in sources if isinstance(item, Container)]
    update = {
        name: tuple(_granted(getattr(container, name), [one for item in held for one in getattr(item, name)]))
        for name in ("secrets", "configs")
    }
    return container.model_copy(update=update)


def _granted(wanted: tuple[FileGrant, ...], known: list[FileGrant]) -> Iterator[FileGrant]:
    """Grants with what they hold now; without content where only what runs has it."""
    for grant in wanted:
        same = [item for item in known if item.source == grant.source]
        holder = next((item for item in same if item.content is not None), None)
        if holder is not None:
            yield grant.model_copy(update={"content": holder.content, "fingerprint": ""})
        elif grant.file is not None and Path(grant.file).is_file():
            yield FileGrant(**{**grant.model_dump(), "content": Path(grant.file).read_bytes(), "fingerprint": ""})
        elif same:
            yield grant.model_copy(update={"fingerprint": same[0].fingerprint})
        else:
            yield grant
