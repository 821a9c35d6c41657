"""Plans: of a declaration, of a part of it, of single resources, of a removal; and plans that are kept in files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from bayplan.errors import UnsupportedError
from bayplan.models import Change, Kind, ResourceId, Settings, Stack
from bayplan.reconcile import reasons
from bayplan.reconcile.plan import Extent, Part, Plan
from bayplan.reconcile.planner import make_plan
from bayplan.record import engines
from bayplan.runtime.protocol import Runtime, Scope, Snapshot


def plan(
    stack: Stack,
    runtime: Runtime,
    *,
    scope: Scope | None = None,
    absent: Sequence[ResourceId] = (),
    stopped: Collection[ResourceId] = (),
    paused: Collection[ResourceId] = (),
    forced: Mapping[ResourceId, Change] | None = None,
    settings: Settings | None = None,
    orphans: bool = True,
) -> Plan:
    """What must happen for the host to match the stack; ``stopped`` containers are there and do not run. Reads only.

    ``paused`` ones are frozen, ``forced`` ones restarted or made anew though nothing of them differs. Without
    ``orphans`` what a project has and does not declare stays. With a ``scope`` of its own it is of a part, and no
    generation of the project.

    With ``settings`` a project that another engine runs is refused here already: an apply does so in any case.
    """
    if settings is not None and stack.name:
        engines.check(settings.state_root / "record.db", stack.name, runtime.facts().engine)

    def make() -> Plan:
        return make_plan(
            stack, runtime, scope=scope, absent=absent, stopped=stopped, paused=paused, forced=forced, orphans=orphans
        )

    if settings is None:
        made = make()
    else:
        from bayplan.app import meanwhile

        made = meanwhile.told(make, settings)
        if reasons.edits(made):
            from bayplan.app import history

            made = history.told_apart(made, settings)
    extent = Extent.PROJECT if orphans else Extent.DECLARED
    return made.model_copy(update={"stack": stack if scope is None else None, "extent": extent})


def plan_services(
    stack: Stack,
    services: Sequence[str],
    runtime: Runtime,
    settings: Settings,
    *,
    stopped: Collection[ResourceId] = (),
    forced: Mapping[ResourceId, Change] | None = None,
) -> Plan:
    """What must happen for some services, and what they depend on, to be as declared; the rest is left alone.

    In its generation the rest is as it was in the last one. Raises NotFoundError for a service that is not declared,
    UnsupportedError on a swarm.
    """
    from bayplan.reconcile.one_off import of_services

    if runtime.facts().engine == "swarm":
        raise UnsupportedError("a part of a stack is not applied on a swarm", hint="apply all of it")
    part = of_services(stack, services)
    made = plan(part, runtime, stopped=stopped, forced=forced, settings=settings, orphans=False)
    return made.model_copy(update={"extent": Extent.SERVICES, "kept": ()})


def plan_part(stack: Stack, part: Part, runtime: Runtime, settings: Settings) -> Plan:
    """``plan_services``, or ``plan`` where the part names none."""
    if part.services:
        return plan_services(stack, part.services, runtime, settings)
    return plan(stack, runtime, settings=settings, orphans=part.orphans)


def save_plan(made: Plan, part: Part, path: Path, runtime: Runtime) -> None:
    """Keep a plan of a part in a file, to be applied as it was shown."""
    from bayplan.reconcile import planfile

    planfile.save(made, part, path, runtime.facts().key.get_secret_value())


def kept_plan(path: Path, make: Callable[[Part], Plan], runtime: Runtime) -> Callable[[], Plan]:
    """``make`` for ``converge``, held to the plan in a file, and to the part that it is of.

    It raises StalePlanError saying what moved since. Raises NotFoundError, DeclarationError, UnsupportedError itself.
    """
    from bayplan.reconcile import planfile

    held = planfile.load(path)

    def checked() -> Plan:
        made = make(held.part)
        planfile.check(held, made, runtime.facts().key.get_secret_value())
        return made

    return checked


def plan_single(resources: Stack, runtime: Runtime, *, absent: Sequence[ResourceId] = ()) -> Plan:
    """Like ``plan`` for resources outside a project: nothing else is touched."""
    scope = Scope(project=None, names=tuple(item.id for item in resources.resources()))
    return make_plan(resources, runtime, scope=scope, absent=absent)


def plan_destroy(target: Stack | str, runtime: Runtime, *, volumes: bool = False, images: bool = False) -> Plan:
    """What removes a project (a stack, or a project's name). Volumes and images only when asked."""
    name = target if isinstance(target, str) else target.name
    wanted = tuple(item.id for item in target.images) if images and isinstance(target, Stack) else ()
    scope = Scope(project=name, names=wanted, presence=True)
    gone = {Kind.CONTAINER, Kind.NETWORK, Kind.SECRET, Kind.CONFIG, Kind.SERVICE}
    gone |= ({Kind.VOLUME} if volumes else set()) | ({Kind.IMAGE} if images else set())

    def absent(found: Snapshot) -> Collection[ResourceId]:
        return [item.id for item in found.resources.values() if item.actual.kind in gone and item.managed]

    made = make_plan(Stack(name=name), runtime, scope=scope, absent=absent)
    steps = tuple(step.model_copy(update={"why": "its project is destroyed"}) for step in made.steps)
    left = [] if volumes else [item.id for item in made.snapshot.of(Kind.VOLUME) if item.managed]
    kept = tuple(f"{item}; volumes are removed only when asked for" for item in left)
    return made.model_copy(update={"steps": steps, "kept": kept})
