"""The verbs, each a few lines over the rooms below. The faces (CLI, bridge) parse, call these, and render."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bayplan.errors import NotFoundError, StalePlanError
from bayplan.models import Change, Duration, Kind, ResourceId, Settings, Stack
from bayplan.reconcile import reasons
from bayplan.reconcile.outcome import Outcome
from bayplan.reconcile.plan import Plan
from bayplan.reconcile.planner import make_plan
from bayplan.reconcile.stop import Stop
from bayplan.record import engines
from bayplan.record.journal import Journal, unsettled
from bayplan.runtime.protocol import Observed, Report, Runtime, Scope, Snapshot, silent
from bayplan.runtime.verbs import Finding

if TYPE_CHECKING:
    from bayplan.reconcile import events as happened
    from bayplan.reconcile.verbs import Command, Done
    from bayplan.reconcile.walk import Event
    from bayplan.runtime.images import Freed
    from bayplan.runtime.native.resume import Resumed

_TRIES = 3
_stopper: ContextVar[Stop | None] = ContextVar("stopper", default=None)


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
    return made.model_copy(update={"stack": stack if scope is None else None})


def plan_services(
    stack: Stack,
    services: Sequence[str],
    runtime: Runtime,
    settings: Settings,
    *,
    forced: Mapping[ResourceId, Change] | None = None,
) -> Plan:
    """What must happen for some services, and what they depend on, to be as declared; the rest is left alone.

    It is no generation of the project. Raises NotFoundError for a service that is not declared.
    """
    from bayplan.reconcile.one_off import of_services

    made = plan(of_services(stack, services), runtime, forced=forced, settings=settings, orphans=False)
    return made.model_copy(update={"stack": None, "kept": ()})


def save_plan(made: Plan, path: Path, runtime: Runtime) -> None:
    """Keep a plan in a file, to be applied as it was shown."""
    from bayplan.reconcile import planfile

    planfile.save(made, path, runtime.facts().key.get_secret_value())


def kept_plan(path: Path, make: Callable[[], Plan], runtime: Runtime) -> Callable[[], Plan]:
    """``make`` for ``converge``, held to the plan in a file.

    It raises StalePlanError saying what moved since. Raises NotFoundError, DeclarationError, UnsupportedError itself.
    """
    from bayplan.reconcile import planfile

    held = planfile.load(path)

    def checked() -> Plan:
        made = make()
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


def apply(
    wanted: Plan,
    runtime: Runtime,
    settings: Settings,
    *,
    on_event: Callable[[Event], None] | None = None,
    report: Report = silent,
    lock_timeout: Duration | None = None,
    stop: Stop | None = None,
) -> Outcome:
    """Do what the plan says. The outcome tells what was done and what failed; ``Outcome.raise_failure`` raises it."""
    if not wanted.changed and not wanted.noted:
        if wanted.stack is not None and wanted.project and unsettled(settings.state_root / "record.db", wanted.project):
            from bayplan.reconcile import remembering

            remembering.catch_up(wanted, runtime, settings.state_root / "record.db", keep=settings.generations_kept)
        return Outcome()
    from bayplan.reconcile.apply import apply_plan

    journal = Journal(settings.state_root / "record.db")
    try:
        return apply_plan(
            wanted,
            runtime,
            journal,
            workers=settings.workers,
            on_event=on_event or (lambda _: None),
            report=report,
            lock_timeout=lock_timeout,
            stop=stop,
            keep=settings.generations_kept,
        )
    finally:
        journal.close()


def converge(
    make: Callable[[], Plan],
    runtime: Runtime,
    settings: Settings,
    *,
    on_plan: Callable[[Plan], None] = lambda _: None,
    on_event: Callable[[Event], None] | None = None,
    report: Report = silent,
    lock_timeout: Duration | None = None,
) -> tuple[Plan, Outcome]:
    """Plan and apply; plan anew when another change came between.

    SIGTERM, SIGHUP and Ctrl-C stop it at the next boundary between steps. ``on_plan`` gets each plan before it is
    applied. Raises StalePlanError when the host does not come to rest.
    """
    with stop_on_signals() as stop:
        for _ in range(_TRIES):
            made = make()
            on_plan(made)
            try:
                outcome = apply(
                    made, runtime, settings, on_event=on_event, report=report, lock_timeout=lock_timeout, stop=stop
                )
            except StalePlanError as error:
                stale = error
            else:
                return made, outcome
    raise stale


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """A ``Stop`` that SIGINT, SIGTERM and SIGHUP ask; the earlier handlers come back at the end.

    Signals reach the main thread alone. In another it is the one of ``stopped_by``.
    """
    stop = _stopper.get() or Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    earlier = {number: signal.signal(number, lambda *_: stop.request()) for number in names}
    try:
        yield stop
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


@contextmanager
def stopped_by(stop: Stop) -> Iterator[None]:
    """Changes that this thread makes meanwhile end, between two steps, when the event of ``stop`` is set."""
    token = _stopper.set(stop)
    try:
        yield
    finally:
        _stopper.reset(token)


def is_stopped() -> bool:
    """Whether the ``stop`` of ``stopped_by`` was asked for: what waits in such a thread looks at it."""
    stop = _stopper.get()
    return stop is not None and stop.event.is_set()


def resume(runtime: Runtime) -> Sequence[Resumed]:
    """Start what a reboot ended. An engine of its own does that by itself: then nothing is left to do."""
    from bayplan.runtime.native.resume import resume as resume_native
    from bayplan.runtime.native.runtime import NativeRuntime

    return resume_native(runtime) if isinstance(runtime, NativeRuntime) else ()


def command(
    asked: Command,
    names: Collection[str],
    runtime: Runtime,
    settings: Settings,
    *,
    lock_timeout: Duration | None = None,
) -> Done:
    """Do a verb to the named containers, as a change of the host that is journaled. See ``reconcile.verbs``."""
    from bayplan.reconcile.verbs import carry_out

    journal = Journal(settings.state_root / "record.db")
    try:
        return carry_out(asked, names, runtime, journal, workers=settings.workers, lock_timeout=lock_timeout)
    finally:
        journal.close()


def events(
    project: str, runtime: Runtime, settings: Settings, *, since: datetime | None = None, until: datetime | None = None
) -> list[happened.Event]:
    """What happened to a project's resources, oldest first."""
    from bayplan.reconcile import events as happened

    journal = Journal(settings.state_root / "record.db", to_read=True)
    try:
        return happened.events(project, runtime, journal, since=since, until=until)
    finally:
        journal.close()


def status(project: str, runtime: Runtime) -> Snapshot:
    """What a project has on the host."""
    return runtime.observe(Scope(project=project))


def nodes(runtime: Runtime) -> Sequence[Observed]:
    """The nodes of a swarm; none of another engine."""
    from bayplan.runtime.swarm.runtime import SwarmRuntime

    return list(runtime.nodes.observe(None)) if isinstance(runtime, SwarmRuntime) else ()


def tag_image(runtime: Runtime, source: str, target: str) -> str:
    """Give an image another name; returns its digest."""
    with runtime.lock(f"image tag {target}"):
        return runtime.image_verbs.tag(source, target)


def remove_images(runtime: Runtime, names: Sequence[str]) -> Sequence[str]:
    """Remove names of images and what only they used; returns the names that are gone."""
    with runtime.lock("image rm"):
        return runtime.image_verbs.remove(names)


def damaged(runtime: Runtime) -> Sequence[Finding]:
    """What of the host's records is not there or not whole. Reads only."""
    return runtime.damaged()


def mend_images(runtime: Runtime, names: Sequence[str]) -> None:
    """Make ready for a pull what is damaged of images."""
    with runtime.lock("mend images"):
        for name in names:
            runtime.image_verbs.mend(name)


def commit_container(runtime: Runtime, container: str, name: str, comment: str, report: Report = silent) -> str:
    """Make an image of a container, which nobody removes meanwhile; returns its digest."""
    with runtime.lock(f"image commit {container}"):
        return runtime.image_verbs.commit(container, name, comment, report)


def prune_images(runtime: Runtime, *, unused: bool, dry_run: bool) -> Sequence[Freed]:
    """Free what nothing needs, or only list it; no change of the host comes between.

    A ``dry_run`` waits for no other change, and makes none: what a lock tidies away stays too.
    """
    with nullcontext() if dry_run else runtime.lock("image prune"):
        return runtime.image_verbs.prune(unused=unused, dry_run=dry_run)


def prune_builds(runtime: Runtime, *, results: bool, dry_run: bool) -> Sequence[Freed]:
    """Free the caches of builds, with ``results`` those of their steps too, or only list it, as ``prune_images``."""
    with nullcontext() if dry_run else runtime.lock("builder prune"):
        return runtime.image_verbs.prune_builds(results=results, dry_run=dry_run)


def login(settings: Settings, registry: str, user: str, password: str) -> str:
    """Keep credentials that the registry accepts; returns where."""
    from bayplan.registry import login as room

    return room.login(settings, registry, user, password)


def check_login(settings: Settings, registry: str, user: str, password: str) -> None:
    """Ask a registry whether it accepts credentials, and keep nothing. Raises AccessDeniedError, UnavailableError."""
    from bayplan.registry import login as room

    room.check(settings, registry, user, password)


def login_of(registry: str) -> tuple[str, str] | None:
    """User and password that are kept for a registry."""
    from bayplan.registry import login as room

    return room.kept(registry)


def export_volume(runtime: Runtime, name: str, path: Path) -> None:
    """Write a volume's content as a tar file, which has its name when it is whole."""
    aside = path.with_name(f".{path.name}.part")
    try:
        with aside.open("wb") as file:
            runtime.export_volume(name, file)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def import_volume(runtime: Runtime, name: str, archive: Path, *, replace: bool) -> None:
    """Fill a volume from a tar file, all of it or nothing. Raises NotFoundError, ConflictError, CorruptStateError."""
    try:
        file = archive.open("rb")
    except OSError as error:
        raise NotFoundError(f"{archive} cannot be read: {error.strerror}") from error
    with file, runtime.lock(f"import into volume {name}"):
        runtime.import_volume(name, file, replace=replace)


def logout(registry: str) -> bool:
    """Forget credentials; whether there were some."""
    from bayplan.registry import login as room

    return room.logout(registry)
