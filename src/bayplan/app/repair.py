"""``repair``: damaged or lost records made anew of what runs and lies on disk."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import cast

from bayplan import engines
from bayplan.errors import CorruptStateError
from bayplan.models import Container, Image, Kind, Network, Resource, ResourceId, Settings, Stack, Volume, VolumeMount
from bayplan.reconcile import remembering
from bayplan.reconcile.diff import compare
from bayplan.reconcile.graph import requirements
from bayplan.reconcile.plan import Plan
from bayplan.record import repair as journal_room
from bayplan.record.generations import Generation, Generations, without_secrets
from bayplan.record.journal import Journal
from bayplan.runtime.protocol import Facts, Observed, Runtime, Scope
from bayplan.runtime.repairs import Repair, set_aside


def repair(settings: Settings, project: str) -> list[Repair]:
    """Repair the records of the engine that the settings name, and the journal. ``project``: the one at hand, if any.

    Nothing is removed, started or stopped; each damaged file is set aside.
    """
    done = [_engine_record(settings)]
    with engines.open_runtime(settings) as runtime:
        projects = _projects(runtime, project)
        name = runtime.facts().engine
        done.append(journal_room.repair(settings.state_root / "record.db", projects, name))
        if done[-1].fault:
            done[-1] = _with_generations(done[-1], projects, runtime, settings)
    return done


def _engine_record(settings: Settings) -> Repair:
    """Of the native core all that it knows; of another engine what is beside its labels."""
    if settings.engine == "native":
        from bayplan.runtime.native.repair import repair as repair_native

        return repair_native(settings)
    from bayplan.runtime.engine_api.declarations import Declarations

    path = settings.state_root / "engines.db"
    try:
        held = Declarations(path)
        held.all()
        held.close()
    except CorruptStateError as error:
        found = ("labels of containers, networks and volumes: they say what was applied when each was made",)
        return Repair(str(path), error.what, set_aside(path), found)
    return Repair(str(path))


def _projects(runtime: Runtime, project: str) -> Sequence[str]:
    """Those of which something of ours is here."""
    from bayplan.runtime.native.runtime import NativeRuntime

    here = runtime.observe(Scope(project=project)).resources.values() if project else ()
    known = {project} if any(item.managed for item in here) else set()
    if isinstance(runtime, NativeRuntime):
        rows = runtime.database.query("SELECT project FROM containers UNION SELECT project FROM networks")
        known |= {str(row[0]) for row in rows} - {""}
    return sorted(known)


def _with_generations(done: Repair, projects: Sequence[str], runtime: Runtime, settings: Settings) -> Repair:
    """A generation of what is there for each project of which none could be read, or not the last one.

    Else a heal, which a timer may begin, would go back to an older one.
    """
    journal = Journal(settings.state_root / "record.db")
    made, missing = [], []
    try:
        for project in projects:
            generations = Generations(journal)
            known = generations.numbers(project)
            plan = _as_it_is(project, runtime, as_found=not known)
            if plan is None:
                missing.append(f"anything that was applied of project {project}")
            elif not known or not _says(generations.last(project), plan):
                remembering.remember(plan, runtime, generations, keep=settings.generations_kept)
                made.append(f"project {project} as it is now, kept as generation {generations.numbers(project)[-1]}")
    finally:
        journal.close()
    return Repair(done.file, done.fault, done.aside, (*done.found, *made), (*done.missing, *missing))


def _says(last: Generation, plan: Plan) -> bool:
    """Whether a generation declares the containers, networks and volumes of it that are recorded, secrets left out."""
    assert plan.stack is not None
    here, _ = without_secrets(plan.stack)
    kept, _ = without_secrets(last.stack)
    return _declared(here) == _declared(kept)


def _declared(stack: Stack) -> dict[str, Resource]:
    own = (item for item in stack.resources() if item.kind is not Kind.IMAGE and not getattr(item, "external", False))
    return {str(item.id): item for item in own}


def _as_it_is(project: str, runtime: Runtime, *, as_found: bool) -> Plan | None:
    """What is recorded of a project, as an apply would have left it; None when nothing is.

    ``as_found``: what a host has otherwise than recorded is taken for what was declared.
    """
    found, facts = runtime.observe(Scope(project=project)), runtime.facts()
    kept = [item for item in found.resources.values() if item.declared and not item.superseded]
    declared = [_as_found(item, facts) if as_found else cast(Resource, item.declared) for item in kept]
    containers = tuple(item for item in declared if isinstance(item, Container))
    if not containers:
        return None
    networks = [item for item in declared if isinstance(item, Network)]
    volumes = [item for item in declared if isinstance(item, Volume)]
    used = _used(containers, {item.id for item in (*networks, *volumes)})
    stack = Stack(
        name=project,
        images=tuple(Image(name=name) for name in used[Kind.IMAGE]),
        networks=(*networks, *(Network(name=name, external=True) for name in used[Kind.NETWORK])),
        volumes=(*volumes, *(Volume(name=name, external=True) for name in used[Kind.VOLUME])),
        containers=containers,
    )
    unchanged = tuple(item.id for item in stack.resources() if item.kind is not Kind.IMAGE)
    return Plan(
        project=project,
        engine=facts.engine,
        host=facts.host,
        scope=Scope(project=project),
        basis="",
        unchanged=unchanged,
        stack=stack,
        note="made by a repair",
    )


def _used(containers: Sequence[Container], own: Collection[ResourceId]) -> dict[Kind, list[str]]:
    """Names, by kind, of what containers use that is not the project's own: networks and volumes of others, images."""
    found: dict[Kind, set[str]] = {kind: set() for kind in (Kind.IMAGE, Kind.NETWORK, Kind.VOLUME)}
    for item in containers:
        of_image = {mount.source for mount in item.mounts if isinstance(mount, VolumeMount) and mount.of_image}
        for need in requirements(item, Stack(name="")) - set(own):
            if need.kind in found and not (need.kind is Kind.VOLUME and need.name in of_image):
                found[need.kind].add(need.name)
    return {kind: sorted(names) for kind, names in found.items()}


def _as_found(item: Observed, facts: Facts) -> Resource:
    """What was declared; of a part that the host has otherwise, that: a label cannot know what was changed in place."""
    declared = cast(Resource, item.declared)
    names = {re.split(r"[.[]", change.path)[0] for change in compare(declared, item, facts)}
    return declared.model_copy(update={name: getattr(item.actual, name) for name in names})
