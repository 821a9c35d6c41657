"""Makes the plan: what is compared with what should be, and the steps between them in order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from bayplan.errors import UnavailableError
from bayplan.models import Change, Image, Kind, ResourceId, Stack
from bayplan.reconcile import followers, image_mounts, lots, others_mounts, removal, renamed, warnings
from bayplan.reconcile.basis import fingerprint
from bayplan.reconcile.graph import OF_SWARM, check_acyclic, needs_first, requirements
from bayplan.reconcile.plan import Plan, Step
from bayplan.reconcile.steps import Steps
from bayplan.runtime.protocol import ImageOrigin, Observed, ResolvedImage, Runtime, Scope, Snapshot

_HOLD_PORTS = frozenset({Kind.CONTAINER, Kind.SERVICE})


def default_scope(stack: Stack) -> Scope:
    """A project's own resources, and everything that the declaration names."""
    return Scope(project=stack.name or None, names=tuple(item.id for item in stack.resources()))


def make_plan(
    stack: Stack,
    runtime: Runtime,
    *,
    scope: Scope | None = None,
    absent: Sequence[ResourceId] | Callable[[Snapshot], Collection[ResourceId]] = (),
    stopped: Collection[ResourceId] = (),
    paused: Collection[ResourceId] = (),
    forced: Mapping[ResourceId, Change] | None = None,
    pinned: Mapping[str, str] | None = None,
    orphans: bool = True,
    backwards: bool = False,
) -> Plan:
    """Everything that must happen for the host to match ``stack``; ``absent`` names what must be gone as well.

    As a function it names some of what is observed in the scope.

    ``stopped`` names declared containers that must be there but not run, ``paused`` those that are frozen. ``forced``
    names containers that are restarted or made anew though nothing of them differs. ``pinned`` gives images by name the
    digest that they stand for, whatever their names mean now. ``backwards``: services are replaced as they are to be
    taken back (``rollback_config``).

    Without ``orphans`` what a project has and does not declare stays.

    Reads only. Raises DeclarationError, NotFoundError, ConflictError or UnsupportedError for what cannot work.
    """
    facts = runtime.facts()
    stack = stack.sealed(facts.key.get_secret_value())
    check_acyclic({item.id: requirements(item, stack) for item in stack.resources()})
    lots.check(stack)
    images = _images(stack, runtime, pinned or {})
    declared, stack = stack, image_mounts.complete(others_mounts.complete(stack, runtime), images)
    scope = scope or default_scope(stack)
    before = {item.id for item in declared.volumes}
    added = (item.id for item in stack.volumes if item.id not in before)
    named = () if callable(absent) else tuple(absent)
    scope = scope.model_copy(update={"names": tuple(dict.fromkeys((*scope.names, *added, *named)))})
    snapshot = runtime.observe(scope)
    gone = frozenset(absent(snapshot) if callable(absent) else named)
    stack = _completed(renamed.follow(stack, snapshot), images, snapshot)
    turns = {"stopped": frozenset(stopped), "paused": frozenset(paused)}
    steps = Steps(stack, runtime, snapshot, images, facts=facts, **turns, forced=forced or {}, backwards=backwards)
    return _plan(steps, scope, gone, orphans=orphans)


def _completed(stack: Stack, images: Mapping[str, ResolvedImage], snapshot: Snapshot) -> Stack:
    """With what only the engine knows of a swarm's services."""
    if not any(item.kind in OF_SWARM for item in stack.resources()):
        return stack
    from bayplan.reconcile import swarm

    return swarm.completed(stack, images, snapshot)


def _images(stack: Stack, runtime: Runtime, pinned: Mapping[str, str]) -> dict[str, ResolvedImage]:
    names = tuple(item.id for item in stack.images if item.name in pinned)
    here = runtime.observe(Scope(names=names)) if names else Snapshot()
    return {
        item.name: _pinned(item.name, pinned[item.name], here.get(item.id), runtime)
        if item.name in pinned
        else _resolved(item, runtime)
        for item in stack.images
    }


def _pinned(name: str, digest: str, here: Observed | None, runtime: Runtime) -> ResolvedImage:
    """An image at a digest that was chosen before: nobody is asked what its name means."""
    present = here is not None and here.image_digest == digest
    why = "" if present else "its name has to mean another image" if here else "its name is not on the host"
    kept = present or runtime.image_verbs.has(name, digest)
    origin = ImageOrigin.LOCAL if kept else ImageOrigin.REGISTRY
    why = why if kept else "the image of then is not on the host"
    return ResolvedImage(name=name, digest=digest, present=present, origin=origin, why=why)


def _resolved(image: Image, runtime: Runtime) -> ResolvedImage:
    """What the image stands for; an error that does not say which image says so then."""
    try:
        return runtime.resolve(image)
    except UnavailableError as error:
        if image.name not in str(error):
            error.what = f"image {image.name}: {error.what}"
        raise


def _plan(steps: Steps, scope: Scope, absent: Collection[ResourceId], *, orphans: bool) -> Plan:
    stack, snapshot, facts = steps.stack, steps.snapshot, steps.facts
    steps.find()
    followers.follow(steps)
    doomed, kept = removal.doomed(stack, scope, snapshot, absent, orphans=orphans)
    changing = [step.desired for step in steps.found.values() if step.desired is not None]
    steps.runtime.check(changing, stack.name, removing=tuple(doomed))
    leaving = removal.removals(doomed, snapshot)
    ordered = removal.with_others(leaving, _ordered(steps, leaving), snapshot)
    touched = {item.resource for item in ordered}
    return Plan(
        project=stack.name,
        engine=facts.engine,
        host=facts.host,
        scope=scope,
        basis=fingerprint(snapshot),
        snapshot=snapshot,
        steps=tuple(ordered),
        noted=tuple(note for item, note in steps.noted.items() if item not in steps.found),
        images=dict(steps.images),
        unchanged=tuple(item.id for item in stack.resources() if item.id not in touched),
        kept=tuple(kept),
        warnings=(
            *warnings.of_networks(stack, snapshot, ordered, facts),
            *warnings.of_swarm(stack, snapshot),
        ),
    )


def _ordered(steps: Steps, removals: Sequence[Step]) -> list[Step]:
    """Steps with the needs that are steps themselves; containers are made after those that leave."""
    found = steps.found
    leaving = tuple(item.resource for item in removals if item.resource.kind in _HOLD_PORTS)
    edges: dict[ResourceId, tuple[ResourceId, ...]] = {}
    for resource in steps.stack.resources():
        if resource.id in found:
            edges[resource.id] = tuple(
                item for item in sorted(requirements(resource, steps.stack), key=str) if item in found
            )
    order = needs_first(edges)
    placed = lots.lots(order, found, backwards=steps.backwards)
    made = []
    for item in order:
        (roll, before), step = placed.get(item, (None, ())), found[item]
        gone = tuple(one for one in step.displaces if one in leaving)  # removed, before it would be taken off
        first = (*edges[item], *before, *(leaving if item.kind in _HOLD_PORTS else gone))
        stay = tuple(one for one in step.displaces if one not in gone)
        made.append(step.model_copy(update={"needs": tuple(dict.fromkeys(first)), "roll": roll, "displaces": stay}))
    return made
