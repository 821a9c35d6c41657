"""Volumes of an engine's local driver, read from one list of all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bayplan.models import Volume, labels
from bayplan.runtime.engine_api.answers import AbsentError
from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.runtime.engine_api.declarations import NO_NOTE, Declarations, Note, from_text
from bayplan.runtime.engine_api.networks import marks, project_of
from bayplan.runtime.engine_api.options.labels import public_labels
from bayplan.runtime.engine_api.options.option import build
from bayplan.runtime.protocol import Observed, State, Status


class Volumes:
    """All volumes of one engine. Safe to use from many threads."""

    def __init__(self, client: EngineClient, declarations: Declarations) -> None:
        self.client, self.declarations = client, declarations

    def all(self) -> list[Mapping[str, Any]]:
        """What the engine says of each, in one call."""
        return list(self.client.call("GET", "/volumes").get("Volumes") or ())

    def observe(
        self, every: Sequence[Mapping[str, Any]], notes: Mapping[str, Note], project: str | None, names: Sequence[str]
    ) -> Iterator[Observed]:
        """A project's, and those that are named."""
        for found in every:
            note = notes.get(handle_of(found), NO_NOTE)
            if found["Name"] in names or (project is not None and project_of(found.get("Labels"), note) == project):
                yield observed(found, note)

    def create(self, volume: Volume, project: str) -> None:
        """Make it."""
        body = {
            "Name": volume.name,
            "Driver": volume.driver,
            "DriverOpts": dict(volume.driver_opts),
            "Labels": {**volume.labels, **marks(volume, project)},
        }
        with told(str(volume.id)):
            self.client.call("POST", "/volumes/create", body=body)

    def record(self, volume: Volume, project: str) -> None:
        """Note what was applied where the engine cannot change it: labels."""
        with told(str(volume.id)):
            found = self.client.call("GET", f"/volumes/{volume.name}")
        self.declarations.record(handle_of(found), volume, project)

    def delete(self, name: str) -> None:
        """Remove it and its content; absent is no error. Raises ConflictError when a container has it."""
        with told(f"volume {name}"):
            try:
                found = self.client.call("GET", f"/volumes/{name}")
                self.client.call("DELETE", f"/volumes/{name}")
            except AbsentError:
                return
        self.declarations.forget(handle_of(found))


def handle_of(found: Mapping[str, Any]) -> str:
    """What tells a volume from a later one of its name: an engine gives volumes no ids."""
    return f"volume {found['Name']} {found.get('CreatedAt', '')}"


def observed(found: Mapping[str, Any], note: Note) -> Observed:
    """A volume as it is. Its labels are those of the record: those of what is there cannot be changed."""
    own = found.get("Labels") or {}
    declared = from_text(Volume, note.declared or own.get(labels.DECLARATION))
    actual = build(
        Volume,
        name=str(found["Name"]),
        driver=str(found.get("Driver", "")),
        driver_opts=dict(found.get("Options") or {}),
        labels=declared.labels if declared else public_labels(own),
    )
    return build(
        Observed,
        actual=declared if declared and _same(declared, actual) else actual,
        declared=declared,
        status=Status(state=State.READY, path=str(found.get("Mountpoint") or "")),
        handle=handle_of(found),
        project=project_of(own, note),
        managed=own.get(labels.MANAGED) == "true" or note.declared is not None,
    )


def _same(declared: Volume, actual: Volume) -> bool:
    return (declared.driver, declared.driver_opts) == (actual.driver, actual.driver_opts)


def aligned(desired: Volume, observed: Observed) -> Observed:
    """The observed volume with the desired labels where they say the same."""
    if observed.declared is not None or public_labels(desired.labels) != getattr(observed.actual, "labels", None):
        return observed
    return observed.model_copy(update={"actual": observed.actual.model_copy(update={"labels": desired.labels})})
