"""``adopt``: a Compose file of what runs, proved by a plan of it that changes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from bayplan import app
from bayplan.errors import ConflictError, NotFoundError
from bayplan.load.compose import load_text
from bayplan.load.compose.writing import Written, write
from bayplan.models import (
    Container,
    Image,
    Kind,
    Model,
    Network,
    ResourceId,
    Settings,
    Stack,
    Volume,
    VolumeMount,
    labels,
)
from bayplan.reconcile.plan import Plan
from bayplan.runtime.protocol import Observed, Runtime, Scope, Snapshot

_NO_SERVICE = re.compile(r"[^a-zA-Z0-9._-]")


class Adopted(Model):
    """The file, and the plan of it: empty when the file says all of what runs."""

    project: str
    written: Written
    plan: Plan


def adopt(names: Sequence[str], project: str, runtime: Runtime, settings: Settings, directory: Path) -> Adopted:
    """Write what runs as a declaration, and plan it. Reads only.

    ``names`` are a project, or containers; with none it is the ``project``. Containers of no project come under the
    project's name. ``directory`` is where the file will be. Raises NotFoundError, naming what is not there, and
    ConflictError for a part of a project.
    """
    found = _containers(names, project, runtime)
    owners = {item.project for item in found} - {""}
    name = next(iter(owners)) if len(owners) == 1 else project
    _check_whole(name, found, runtime)
    stack = _stack(name, found, runtime)
    written = write(stack)
    # What the file names only, the plan is given: nothing of it is kept or shown.
    environment = {**os.environ, **written.variables}
    again = load_text(
        written.text,
        label="compose.yaml",
        project_directory=directory,
        project_name=name,
        environment=environment,
        settings=settings,
    )
    return Adopted(project=name, written=written, plan=app.plan(again, runtime))


def _containers(names: Sequence[str], project: str, runtime: Runtime) -> list[Observed]:
    scopes = [Scope(project=names[0] if names else project)] if len(names) <= 1 else []
    scopes.append(Scope(names=tuple(ResourceId(kind=Kind.CONTAINER, name=one) for one in names)))
    for scope in scopes:
        found = sorted(runtime.observe(scope).of(Kind.CONTAINER), key=lambda item: item.id.name)
        kept = [item for item in found if not item.superseded and labels.ONE_OFF not in _labels(item)]
        missing = [one for one in names if not scope.project and one not in {item.id.name for item in kept}]
        if kept and not missing:
            return kept
    raise NotFoundError(f"no container of {', '.join(names) or project}", hint="name a project, or containers")


def _check_whole(project: str, found: Sequence[Observed], runtime: Runtime) -> None:
    """Raise ConflictError for a part of a project: an apply of its file would remove the others."""
    chosen = {item.id for item in found}
    others = [item.id.name for item in _of_project(project, runtime) if item.id not in chosen]
    if others:
        what = f"project {project} has more containers, which the file would not declare: {', '.join(sorted(others))}"
        raise ConflictError(what, hint=f"`bayplan adopt {project}` takes all of it")


def _of_project(project: str, runtime: Runtime) -> Iterator[Observed]:
    found = runtime.observe(Scope(project=project)).of(Kind.CONTAINER)
    return (item for item in found if not item.superseded and labels.ONE_OFF not in _labels(item))


def _labels(item: Observed) -> Collection[str]:
    return item.actual.labels if isinstance(item.actual, Container) else ()


def _stack(project: str, found: Sequence[Observed], runtime: Runtime) -> Stack:
    containers = tuple(_serving(found, project))
    networks = dict.fromkeys(place.network for item in containers for place in item.networks)
    volumes = dict.fromkeys(
        mount.source
        for item in containers
        for mount in item.mounts
        if isinstance(mount, VolumeMount) and not mount.of_image
    )
    wanted = [
        *(ResourceId(kind=Kind.NETWORK, name=name) for name in networks),
        *(ResourceId(kind=Kind.VOLUME, name=name) for name in volumes),
    ]
    there = runtime.observe(Scope(names=tuple(wanted)))
    return Stack(
        name=project,
        images=tuple(Image(name=name) for name in dict.fromkeys(item.image for item in containers)),
        networks=tuple(_network(name, project, there) for name in networks),
        volumes=tuple(_volume(name, project, there) for name in volumes),
        containers=containers,
    )


def _serving(found: Iterable[Observed], project: str) -> Iterator[Container]:
    """As they were declared, or as they are; each of a service, the replicas of one in their order."""

    def number(item: Observed) -> int:
        held = item.actual.labels.get(labels.NUMBER, "1") if isinstance(item.actual, Container) else "1"
        return int(held) if held.isdigit() else 1

    for item in sorted(found, key=lambda one: (number(one), one.id.name)):
        held = item.declared or item.actual
        if isinstance(held, Container):
            own = held.service or held.labels.get(labels.SERVICE, "")
            service = own if item.project == project and own else _NO_SERVICE.sub("-", item.id.name)
            yield held.model_copy(update={"service": service, "name": item.id.name})


def _network(name: str, project: str, there: Snapshot) -> Network:
    """A project's own as it is; one of somebody else's stays theirs."""
    item = there.get(ResourceId(kind=Kind.NETWORK, name=name))
    held = item and (item.declared or item.actual)
    if item and item.project == project and isinstance(held, Network):
        return held
    return Network.model_construct(name=name, external=True)


def _volume(name: str, project: str, there: Snapshot) -> Volume:
    item = there.get(ResourceId(kind=Kind.VOLUME, name=name))
    held = item and (item.declared or item.actual)
    if item and item.project == project and isinstance(held, Volume):
        return held
    return Volume.model_construct(name=name, external=True)
