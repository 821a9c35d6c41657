"""Containers as an engine shows them: found by one list, inspected at the same time, read by the table of options."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from bayplan.errors import NotFoundError
from bayplan.models import BindMount, Container, FileGrant, VolumeMount, labels
from bayplan.runtime.engine_api import grants as grant_files
from bayplan.runtime.engine_api import options
from bayplan.runtime.engine_api.answers import AbsentError
from bayplan.runtime.engine_api.bases import Bases, whole_id
from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.runtime.engine_api.declarations import NO_NOTE, Declarations, Note, from_text
from bayplan.runtime.engine_api.engine import Engine
from bayplan.runtime.engine_api.networks import project_of
from bayplan.runtime.engine_api.options.option import Option, build
from bayplan.runtime.engine_api.options.shape import Shape
from bayplan.runtime.engine_api.status import status_of
from bayplan.runtime.protocol import Observed, State
from bayplan.runtime.spare import is_spare, is_spare_of

_GIVEN = ("secrets", "configs")


class Containers:
    """The reading half of what is done with containers. Safe to use from many threads."""

    def __init__(
        self,
        client: EngineClient,
        engine: Engine,
        declarations: Declarations,
        pool: Executor,
        table: Mapping[str, Option] = options.TABLE,
    ) -> None:
        self.client, self.engine, self.declarations, self.pool, self.table = client, engine, declarations, pool, table
        self.bases = Bases(client)
        self._made_of: dict[str, str] = {}

    def all(self) -> list[Mapping[str, Any]]:
        """What the engine lists of each, in one call; those that do not run, too."""
        found: list[Mapping[str, Any]] = self.client.call("GET", "/containers/json", query={"all": True})
        return found

    def inspect(self, name: str) -> Mapping[str, Any] | None:
        """What the engine says of the container of that very name; None for none."""
        with told(f"container {name}"):
            try:
                found: Mapping[str, Any] = self.client.call("GET", f"/containers/{name}/json")
            except AbsentError:
                return None
        # The API takes the beginning of an id for a name, too.
        return found if str(found["Name"]).lstrip("/") == name else None

    def get(self, name: str) -> Mapping[str, Any]:
        """As ``inspect``. Raises NotFoundError."""
        found = self.inspect(name)
        if found is None:
            raise NotFoundError(f"container {name} does not exist", hint="see `bayplan status`")
        return found

    def declared(self, found: Mapping[str, Any]) -> Container | None:
        """What it was last declared as; None when nobody recorded that."""
        note = self.declarations.all().get(str(found["Id"]), NO_NOTE)
        own = (found.get("Config") or {}).get("Labels") or {}
        return from_text(Container, note.declared or own.get(labels.DECLARATION))

    def observe(
        self,
        listed: Sequence[Mapping[str, Any]],
        notes: Mapping[str, Note],
        project: str | None,
        names: Collection[str],
        networks: Callable[[], Mapping[str, str]],
    ) -> list[Observed]:
        """A project's, and those that are named. ``networks`` gives the ids of the networks that there are, by name."""
        wanted = [
            str(one["Id"])
            for one in listed
            if any(name in names or is_spare_of(name, names) for name in _names(one))
            or (project is not None and project_of(one.get("Labels"), notes.get(str(one["Id"]), NO_NOTE)) == project)
        ]
        inspected = [one for one in self.pool.map(self._inspect, wanted) if one is not None]
        self.bases.learn({whole_id(str(one["Image"])) for one in inspected}, self.pool)
        known = {str(one["Id"]): name for one in listed for name in _names(one)}
        there = networks()
        return [self._observed(one, notes.get(str(one["Id"]), NO_NOTE), known, there) for one in inspected]

    def _inspect(self, container_id: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = self.client.call("GET", f"/containers/{container_id}/json")
        except AbsentError:
            return None  # it went away meanwhile
        return found

    def _observed(
        self, found: Mapping[str, Any], note: Note, known: Mapping[str, str], networks: Mapping[str, str]
    ) -> Observed:
        name, handle, image = str(found["Name"]).lstrip("/"), str(found["Id"]), whole_id(str(found["Image"]))
        self._made_of[handle] = image
        own = (found.get("Config") or {}).get("Labels") or {}
        shape = Shape.of_inspection(found, self.bases.config(image), self.engine, known)
        shape = _without_lost(shape, networks)
        declared = from_text(Container, note.declared or own.get(labels.DECLARATION))
        marked = own.get(labels.MANAGED) == "true"
        if declared is None:
            actual = options.undeclared(name, shape, self.table)
        elif marked:
            actual = options.settled(declared.model_copy(update={"name": name}), shape, self.table)
        else:
            actual = self._foreign(declared, options.undeclared(name, shape, self.table), handle)
        status = status_of(found, note.stopped_at)
        managed = marked or note.declared is not None
        given = declared is not None and (declared.secrets or declared.configs)
        if status.state is State.CREATED and managed and given and not note.whole:
            status = status.model_copy(update={"state": State.INCOMPLETE})
        # Unchecked: what is found need not be what a declaration may say.
        return build(
            Observed,
            actual=actual,
            declared=declared,
            status=status,
            handle=handle,
            image_digest=self.bases.digest(image, actual.image),
            project=project_of(own, note),
            managed=managed,
            superseded=managed and is_spare(name),
        )

    def aligned(self, desired: Container, observed: Observed) -> Observed:
        """The observed container with the desired spelling of every option that means the same to this engine."""
        actual = observed.actual
        assert isinstance(actual, Container)
        if observed.declared is None:
            given = {kind: self._held(getattr(desired, kind), actual, observed.handle) for kind in _GIVEN}
            actual = self._foreign(desired, actual, observed.handle).model_copy(update=given)
        else:
            actual = actual.model_copy(update=dict(self._alike(desired, actual, observed.handle)))
        return observed.model_copy(update={"actual": actual})

    def _foreign(self, declared: Container, actual: Container, handle: str) -> Container:
        """What a container has that another tool made, in the words of a declaration."""
        found = {
            field: getattr(declared, field) if option.kept else option.foreign(declared, actual)
            for field, option in self.table.items()
        }
        stripped = actual.model_copy(update=found)
        # What the image asks for is no part of a declaration; the other tool gave its volumes names of its own.
        bare = _without_image_volumes(declared)
        return stripped.model_copy(update=dict(self._alike(bare, stripped, handle)))

    def _alike(self, desired: Container, actual: Container, handle: str) -> Iterator[tuple[str, Any]]:
        """Fields whose spelling alone differs, as they are desired."""
        differing = {
            field: option
            for field, option in self.table.items()
            if not option.kept and getattr(desired, field) != getattr(actual, field)
        }
        if not differing:
            return
        image = self.bases.config(self._made_of.get(handle, ""))
        own = Shape.of_body(options.written(desired, self.engine, image, self.table))
        there = Shape.of_body(options.written(actual, self.engine, image, self.table))
        for field, option in differing.items():
            wanted = getattr(desired, field)
            if option.settle(wanted, own, there) == wanted:
                yield field, wanted

    def _held(self, grants: Sequence[FileGrant], actual: Container, handle: str) -> tuple[FileGrant, ...]:
        """Those that the container has: bound, or with the same content."""
        bound = {(mount.source, mount.target) for mount in actual.mounts if isinstance(mount, BindMount)}
        return tuple(
            grant
            for grant in grants
            if (grant.file, grant.target) in bound
            or grant_files.content_of(self.client, handle, grant) == grant.content
        )


def _names(listed: Mapping[str, Any]) -> list[str]:
    """Its names; those that links of other containers gave it have a slash inside."""
    return [name.lstrip("/") for name in listed.get("Names") or () if "/" not in name.lstrip("/")]


def _without_lost(shape: Shape, networks: Mapping[str, str]) -> Shape:
    """Without the places on networks that are gone: one of the same name that was made since is another."""
    lost = [
        name
        for name, place in shape.endpoints.items()
        if place.get("NetworkID") and networks.get(name) not in (None, place["NetworkID"])
    ]
    return replace(shape, endpoints={k: v for k, v in shape.endpoints.items() if k not in lost}) if lost else shape


def _without_image_volumes(container: Container) -> Container:
    kept = tuple(item for item in container.mounts if not (isinstance(item, VolumeMount) and item.of_image))
    return container.model_copy(update={"mounts": kept})
