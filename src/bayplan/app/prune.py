"""``prune``: what is ours and no longer declared, of every kind; listed first, then just that list is removed.

Nothing of another project, another tool or a user is in the list: containers, networks and volumes carry the project's
name and were made by us; images and caches of builds are taken only where the store is ours alone (the native core);
generations are the project's own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from pydantic import Field

from bayplan import app
from bayplan.errors import BayplanError
from bayplan.models import Duration, Image, Kind, Model, ResourceId, Settings, Stack
from bayplan.reconcile import remembering, removal, renamed
from bayplan.reconcile.basis import fingerprint
from bayplan.reconcile.graph import uses
from bayplan.reconcile.plan import Plan
from bayplan.reconcile.planner import default_scope
from bayplan.reconcile.reasons import UNDECLARED
from bayplan.record.generations import Generation, Generations
from bayplan.record.journal import Journal
from bayplan.runtime.images import Freed
from bayplan.runtime.protocol import Runtime, Scope, Snapshot

_OF_US_ALONE = "native"


class Pruning(Model):
    """What is to go. ``generations``: numbers; ``names``: of images that only those generations had declared."""

    plan: Plan
    generations: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    images: tuple[Freed, ...] = ()
    builds: tuple[Freed, ...] = ()
    kept: tuple[str, ...] = Field((), description="What is left alone, as sentences.")

    @property
    def empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.plan.steps or self.generations or self.names or self.images or self.builds)

    @property
    def freed(self) -> tuple[Freed, ...]:
        """Images and caches that go."""
        return (*self.images, *self.builds)

    def listed(self) -> Iterator[tuple[str, str]]:
        """Everything else that is to go, with its reason; ``freed`` has a size instead."""
        yield from ((f"image {name}", "declared by no generation that stays") for name in self.names)
        yield from ((f"generation {number}", "older than those that stay") for number in self.generations)
        for step in self.plan.steps:
            yield str(step.resource), "; ".join((step.why, *step.risks))


def find(stack: Stack, runtime: Runtime, settings: Settings, *, volumes: bool, keep: int) -> Pruning:
    """Everything that a project had and does not declare; ``keep`` generations stay. Reads only.

    Volumes only with ``volumes``: their data is lost. Raises ConflictError for a volume that a container outside of
    what goes still uses.
    """
    plan, kept = _leaving(stack, runtime, volumes=volumes)
    journal = Journal(settings.state_root / "record.db", to_read=True)
    try:
        generations = Generations(journal)
        numbers = generations.numbers(stack.name)
        old = tuple(numbers[: len(numbers) - keep])
        gone = [made for number in old if (made := _whole(generations, stack.name, number))]
        staying = [(stack.name, number) for number in numbers[len(old) :]]
        for other in generations.projects():
            staying += [(other, number) for number in generations.numbers(other) if other != stack.name]
        rest = [made for one in staying if (made := _whole(generations, *one))]
    finally:
        journal.close()
    if runtime.facts().engine != _OF_US_ALONE:
        kept = (
            *kept,
            "images and caches of builds are shared with the engine's other users; see `bayplan image prune`",
        )
        return Pruning(plan=plan, generations=old, kept=kept)
    return Pruning(
        plan=plan,
        generations=old,
        names=_names(stack, gone, rest, runtime),
        images=tuple(app.prune_images(runtime, unused=False, dry_run=True)),
        builds=tuple(app.prune_builds(runtime, results=False, dry_run=True)),
        kept=kept,
    )


def carry_out(
    found: Pruning, stack: Stack, runtime: Runtime, settings: Settings, *, lock_timeout: Duration | None = None
) -> Sequence[str]:
    """Remove just what was found; the names of what is gone. Raises StalePlanError when the host moved since.

    Images first: what a container that goes held is no longer needed only afterwards, and was not in the list.
    """
    done = []
    if found.images:
        freed = app.prune_images(runtime, unused=False, dry_run=False)
        done += [f"{item.kind} {item.name}" for item in freed]
    if found.builds:
        done += [f"{item.kind} {item.name}" for item in app.prune_builds(runtime, results=False, dry_run=False)]
    if found.names:
        app.remove_images(runtime, found.names)
        done += [f"image {name}" for name in found.names]
    if found.generations:
        _forget(found.generations, stack.name, runtime, settings, lock_timeout)
        done += [f"generation {number}" for number in found.generations]
    outcome = app.apply(found.plan, runtime, settings, lock_timeout=lock_timeout)
    if outcome.done:
        gone = [step.resource for step in outcome.done]
        with _changing("record of a prune", runtime, settings, lock_timeout) as journal:
            remembering.remember_less(found.plan, gone, runtime, journal, keep=settings.generations_kept)
    outcome.raise_failure()
    return [*done, *(str(step.resource) for step in outcome.done)]


def _forget(
    numbers: Sequence[int], project: str, runtime: Runtime, settings: Settings, lock_timeout: Duration | None
) -> None:
    with _changing("prune of generations", runtime, settings, lock_timeout) as journal:
        generations = Generations(journal)
        generations.drop(project, numbers)
        runtime.image_verbs.keep(project, generations.digests(project))


@contextmanager
def _changing(purpose: str, runtime: Runtime, settings: Settings, lock_timeout: Duration | None) -> Iterator[Journal]:
    journal = Journal(settings.state_root / "record.db")
    try:
        with runtime.lock(purpose, lock_timeout):
            yield journal
    finally:
        journal.close()


def _leaving(stack: Stack, runtime: Runtime, *, volumes: bool) -> tuple[Plan, tuple[str, ...]]:
    """The removal of undeclared containers, networks and more, as a plan."""
    facts = runtime.facts()
    snapshot = runtime.observe(default_scope(stack))
    stack = renamed.follow(stack, snapshot)
    scope = Scope(project=stack.name, names=default_scope(stack).names)
    doomed, kept = removal.doomed(
        stack, scope, snapshot, removal.undeclared_volumes(stack, snapshot) if volumes else ()
    )
    held = _held(doomed, snapshot)
    kept += [f"{item} is {UNDECLARED}, and {users} has it until the next apply" for item, users in held.items()]
    doomed = {item: UNDECLARED if item.kind is Kind.VOLUME else why for item, why in doomed.items() if item not in held}
    runtime.check((), stack.name, removing=tuple(doomed))
    plan = Plan(
        project=stack.name,
        engine=facts.engine,
        host=facts.host,
        scope=scope,
        basis=fingerprint(snapshot),
        snapshot=snapshot,
        steps=tuple(removal.removals(doomed, snapshot)),
        unchanged=tuple(item.id for item in stack.resources() if item.kind is not Kind.IMAGE),
        note="prune",
    )
    return plan, tuple(kept)


def _held(doomed: Collection[ResourceId], snapshot: Snapshot) -> Mapping[ResourceId, str]:
    """What containers that stay still have, with their names: they leave it with a change, which an apply makes."""
    staying = [item for item in snapshot.of(Kind.CONTAINER) if item.id not in doomed]
    found = {one: [item.id.name for item in staying if one in uses(item.actual)] for one in doomed}
    return {one: ", ".join(sorted(names)) for one, names in found.items() if names}


def _whole(generations: Generations, project: str, number: int) -> Generation | None:
    try:
        return generations.get(project, number)
    except BayplanError:
        return None  # a damaged one names nothing


def _names(stack: Stack, gone: Sequence[Generation], rest: Sequence[Generation], runtime: Runtime) -> tuple[str, ...]:
    """Images that only generations which go have declared, and that are still here without a container."""
    declared = {image.name for made in rest for image in made.stack.images} | {image.name for image in stack.images}
    wanted = dict.fromkeys(image.name for made in gone for image in made.stack.images if image.name not in declared)
    here = runtime.observe(Scope(names=tuple(Image(name=name).id for name in wanted)))
    used = {summary.digest for summary in runtime.image_verbs.summaries() if summary.containers}
    return tuple(item.id.name for item in here.of(Kind.IMAGE) if item.image_digest not in used)
