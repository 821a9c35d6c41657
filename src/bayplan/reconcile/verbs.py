"""Verbs that a person gives to containers by hand: done under the lock of an apply, journaled, in order of dependency.

They change what is, never what is declared: a later plan sees what they did as drift, and says how it would mend it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from bayplan.errors import BayplanError, ConflictError, NotFoundError
from bayplan.models import Container, Duration, Endpoint, Kind, ResourceId, Volume, VolumeMount, labels
from bayplan.reconcile.graph import namespace_owners
from bayplan.reconcile.renamed import generated_name
from bayplan.record.journal import Journal
from bayplan.runtime.protocol import LIVE, Observed, Runtime, Scope, Snapshot

_ENDING = frozenset({"stop", "kill", "remove"})


@dataclass(frozen=True)
class Command:
    """A verb and its options.

    Verbs are start, stop, kill, pause, unpause, restart, remove, rename, update, connect and disconnect.
    ``endpoint`` is the place on a network that is joined; of one that is left its network counts.
    ``volumes``: with a container that is removed go the volumes that nobody named and no other container has.
    """

    verb: str
    signal: str = "SIGKILL"
    grace: Duration | None = None
    force: bool = False
    volumes: bool = False
    new_name: str = ""
    endpoint: Endpoint | None = None
    changed: tuple[Container, ...] = ()
    """For update: the containers with their new limits and restart policies."""


@dataclass(frozen=True)
class Done:
    """What a verb did: the containers it was done to, and the errors of those it could not be done to."""

    names: tuple[str, ...] = ()
    failed: Mapping[str, BayplanError] = field(default_factory=dict)


def carry_out(
    asked: Command,
    names: Collection[str],
    runtime: Runtime,
    journal: Journal,
    *,
    workers: int = 8,
    lock_timeout: Duration | None = None,
) -> Done:
    """Do the verb to the named containers, dependencies first (last for what ends them), independent ones at once.

    Raises BusyError, and before any change NotFoundError and ConflictError: a running container is not removed without
    ``force``. What fails for one container is in the outcome.
    """
    with runtime.lock(f"{asked.verb} of {', '.join(sorted(names))}", lock_timeout):
        found = _observed(runtime, names)
        _refuse(asked, found)
        if asked.verb == "rename":
            _refuse_rename(found, runtime)
        if asked.changed:
            # Only what changes is judged: the rest was, when it was made.
            limits = [Container(name=one.name, image=one.image, resources=one.resources) for one in asked.changed]
            runtime.check(limits, "")
        project = next(iter({item.project for item in found.values()}), "")
        done: list[str] = []
        failed: dict[str, BayplanError] = {}
        with journal.run(project, []) as number:

            def reached(name: str, phase: str, error: str = "") -> None:
                resource = str(ResourceId(kind=Kind.CONTAINER, name=name))
                journal.steps_reached(number, [(resource, asked.verb, phase, error)])

            def work(name: str) -> None:
                reached(name, "started")
                try:
                    _do(asked, name, runtime)
                except BayplanError as error:
                    failed[name] = error
                    reached(name, "failed", str(error))
                else:
                    done.append(name)
                    reached(name, "done")

            with ThreadPoolExecutor(max_workers=workers, thread_name_prefix=asked.verb) as pool:
                for level in levels([item.actual for item in found.values()], reverse=asked.verb in _ENDING):
                    list(pool.map(work, level))
    return Done(tuple(sorted(done)), failed)


def levels(containers: Sequence[object], *, reverse: bool = False) -> Iterator[tuple[str, ...]]:
    """Names in groups: each after what it depends on (``reverse``: before it); within a group the order is free."""
    known = [item for item in containers if isinstance(item, Container)]
    of_service: dict[str, list[str]] = {}
    for item in known:
        for name in {item.service, item.name}:
            of_service.setdefault(name, []).append(item.name)
    needs = {
        item.name: {name for dependency in item.depends_on for name in of_service.get(dependency.service, ())}
        for item in known
    }
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    found = []
    while sorter.is_active():
        ready = tuple(sorted(sorter.get_ready()))
        found.append(ready)
        sorter.done(*ready)
    return iter(reversed(found) if reverse else found)


def _observed(runtime: Runtime, names: Collection[str]) -> dict[str, Observed]:
    wanted = tuple(ResourceId(kind=Kind.CONTAINER, name=name) for name in names)
    snapshot: Snapshot = runtime.observe(Scope(names=wanted))
    found = {name: snapshot.get(key) for name, key in zip(names, wanted, strict=True)}
    missing = [name for name, item in found.items() if item is None]
    if missing:
        raise NotFoundError(f"container {', '.join(missing)} does not exist", hint="see `bayplan ps`")
    return {name: item for name, item in found.items() if item is not None}


def _refuse(asked: Command, found: Mapping[str, Observed]) -> None:
    if asked.verb == "remove" and not asked.force:
        live = [name for name, item in found.items() if item.status.state in LIVE]
        if live:
            raise ConflictError(f"container {', '.join(live)} is running", hint="stop it first, or remove it with -f")


def _do(asked: Command, name: str, runtime: Runtime) -> None:
    acts: Mapping[str, Callable[[], None]] = {
        "start": lambda: runtime.start(name),
        "stop": lambda: runtime.stop(name, asked.grace),
        "kill": lambda: runtime.kill(name, asked.signal),
        "pause": lambda: runtime.pause(name),
        "unpause": lambda: runtime.unpause(name),
        "remove": lambda: _remove(asked, name, runtime),
        "rename": lambda: runtime.rename(name, asked.new_name),
        "update": lambda: _update(asked, name, runtime),
    }
    if asked.endpoint is not None:
        if asked.verb == "connect":
            runtime.connect(name, asked.endpoint)
        else:
            runtime.disconnect(name, asked.endpoint.network, force=asked.force)
    elif asked.verb == "restart":
        runtime.stop(name, asked.grace)
        runtime.start(name)
    else:
        acts[asked.verb]()


def _update(asked: Command, name: str, runtime: Runtime) -> None:
    wanted = next(item for item in asked.changed if item.name == name)
    project = _observed(runtime, [name])[name].project
    runtime.update(wanted, ("resources", "restart"), project=project)


def _remove(asked: Command, name: str, runtime: Runtime) -> None:
    wanted = ResourceId(kind=Kind.CONTAINER, name=name)
    found = runtime.observe(Scope(names=(wanted,))).get(wanted) if asked.volumes else None
    runtime.delete(wanted)
    if found is None or not isinstance(found.actual, Container):
        return
    mine = {item.source for item in found.actual.mounts if isinstance(item, VolumeMount)}
    for volume, users in runtime.volumes_there():
        nameless = isinstance(volume.actual, Volume) and labels.ANONYMOUS in volume.actual.labels
        if volume.id.name in mine and nameless and not users:
            runtime.delete(volume.id)


def _refuse_rename(found: Mapping[str, Observed], runtime: Runtime) -> None:
    """A name that is declared, or by which others share a namespace, comes back or breaks with the next apply."""
    for name, item in found.items():
        container = item.actual
        if not isinstance(container, Container) or not item.project:
            continue
        if generated_name(container) is None or not _keeps_name(container):
            raise ConflictError(
                f"the name of container {name} is declared: an apply would make it anew",
                hint="change container_name in the declaration",
            )
        snapshot = runtime.observe(Scope(project=item.project))
        sharing = [
            other.id.name
            for other in snapshot.of(Kind.CONTAINER)
            if isinstance(other.actual, Container) and container.id in namespace_owners(other.actual)
        ]
        if sharing:
            raise ConflictError(
                f"containers {', '.join(sharing)} share a namespace of {name} by its name", hint="remove those first"
            )


def _keeps_name(container: Container) -> bool:
    """Whether its name was never declared: it has the generated one, or has it as an alias, having been renamed."""
    generated = generated_name(container)
    return container.name == generated or any(generated in one.aliases for one in container.networks)
