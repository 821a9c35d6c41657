"""Networks of an engine: written as ``docker network create`` would, read from one list of all."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from bayplan.errors import ConflictError, InUseError
from bayplan.models import Change, Network, labels
from bayplan.runtime.engine_api.answers import AbsentError, AnswerError
from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.runtime.engine_api.declarations import NO_NOTE, Declarations, Note, from_text, to_text
from bayplan.runtime.engine_api.engine import Engine
from bayplan.runtime.engine_api.options.networks import read, settled, written
from bayplan.runtime.engine_api.options.option import build
from bayplan.runtime.protocol import Observed, State, Status

_LEAVING_S, _PAUSE_S = 10.0, 0.1
"""Seconds that a busy engine may take to free the places of containers that are gone, and between two looks."""

_PODMANS = "podman"
_PODMANS_ID = hashlib.sha256(_PODMANS.encode()).hexdigest()
"""Podman's default network. Lists in Docker's form call it ``bridge``, everything else by its name."""


class Networks:
    """All networks of one engine. Safe to use from many threads."""

    def __init__(self, client: EngineClient, engine: Engine, declarations: Declarations) -> None:
        self.client, self.engine, self.declarations = client, engine, declarations

    def all(self) -> list[Mapping[str, Any]]:
        """What the engine says of each, in one call."""
        found: list[Mapping[str, Any]] = self.client.call("GET", "/networks")
        return [{**one, "Name": _PODMANS} if one.get("Id") == _PODMANS_ID else one for one in found]

    def observe(
        self, every: Sequence[Mapping[str, Any]], notes: Mapping[str, Note], project: str | None, names: Sequence[str]
    ) -> Iterator[Observed]:
        """A project's, and those that are named. The later of two that have one name is a defect of the first."""
        first: dict[str, Mapping[str, Any]] = {}
        twice = set[str]()
        for found in sorted(every, key=lambda one: str(one.get("Created", ""))):
            if first.setdefault(found["Name"], found) is not found:
                twice.add(found["Name"])
        for found in first.values():
            note = notes.get(str(found["Id"]), NO_NOTE)
            if found["Name"] in names or (project is not None and project_of(found.get("Labels"), note) == project):
                one = observed(found, note)
                defects = {f"there are two networks named {found['Name']}": Change.RECREATE.value}
                yield one.model_copy(update={"defects": defects}) if found["Name"] in twice else one

    def create(self, network: Network, project: str) -> None:
        """Make it. Raises ConflictError when one of its name came meanwhile.

        Before API 1.44 an engine may make two of one name when both are asked for at the same time, as after a change
        that was killed while the engine was making it.
        """
        body = written(network, self.engine, self.all())
        body["Labels"] = {**network.labels, **marks(network, project)}
        with told(str(network.id)):
            try:
                made = self.client.call("POST", "/networks/create", body=body)
            except AnswerError as error:
                # It was still being made for a change that was killed when this one looked; and Podman 4.3, asked for
                # several at once, may find what it is just making, and says so by another status.
                taken = error.status_code == HTTPStatus.CONFLICT or "already exists" in str(error)
                if not taken or not self.named(network.name):
                    raise
                self._take(network, project)
                return
            if len(self.named(network.name)) > 1:
                self.client.call("DELETE", f"/networks/{made['Id']}")
                self._take(network, project)

    def _take(self, network: Network, project: str) -> None:
        """Take the network of that name for the one to make, if it is ours and just that."""
        (found,) = self.named(network.name)
        own = found.get("Labels") or {}
        if own.get(labels.MANAGED) != "true" or settled(network, read(found)) != network:
            raise ConflictError(f"{network.id} came meanwhile, and is another", hint="apply again")
        self.declarations.record(str(found["Id"]), network, project)

    def named(self, name: str) -> list[Mapping[str, Any]]:
        """What the engine says of those of a name: there may be two."""
        found = self.client.call("GET", "/networks", query={"filters": {"name": [name]}})
        return [one for one in found if one["Name"] == name]

    def record(self, network: Network, project: str) -> None:
        """Note what was applied where the engine cannot change it: labels."""
        with told(str(network.id)):
            found = self.client.call("GET", f"/networks/{network.name}")
        self.declarations.record(str(found["Id"]), network, project)

    def delete(self, name: str) -> None:
        """Remove it; absent is no error. Raises ConflictError naming the containers that run on it."""
        with told(f"network {name}"):
            for found in self.named(name):
                self._delete(str(found["Id"]), name)

    def _delete(self, network_id: str, name: str) -> None:
        """A container that is gone leaves its place a moment later: until then the engine refuses."""
        deadline = time.monotonic() + _LEAVING_S
        while True:
            try:
                self.client.call("DELETE", f"/networks/{network_id}")
            except AbsentError:
                break
            except AnswerError as error:
                users = self._users(network_id)
                if users:
                    where, hint = f"network {name}", "remove those first"
                    raise InUseError(f"it is used by containers {', '.join(users)}", where=where, hint=hint) from error
                if "endpoint" not in str(error.explanation) or time.monotonic() >= deadline:
                    raise
                time.sleep(_PAUSE_S)
            else:
                break
        self.declarations.forget(network_id)

    def _users(self, network_id: str) -> list[str]:
        """Names of the containers that are there and have a place on it."""
        try:
            places = self.client.call("GET", f"/networks/{network_id}").get("Containers") or {}
        except AbsentError:
            return []
        there = {str(one["Id"]) for one in self.client.call("GET", "/containers/json")} if places else set()
        return sorted(str(place.get("Name")) for container_id, place in places.items() if container_id in there)


def marks(resource: Network | Any, project: str) -> dict[str, str]:
    """Labels by which we know our own."""
    found = {labels.MANAGED: "true", labels.DECLARATION: to_text(resource)}
    return found if resource.labels.get(labels.PROJECT, "") == project else {**found, labels.OWN_PROJECT: project}


def project_of(found: Mapping[str, str] | None, note: Note) -> str:
    """The project that a resource belongs to; empty for none."""
    own = found or {}
    return note.project or own.get(labels.OWN_PROJECT) or own.get(labels.PROJECT, "")


def observed(found: Mapping[str, Any], note: Note) -> Observed:
    """A network as it is, in the words of its declaration where that is what it was asked for."""
    own = found.get("Labels") or {}
    declared = from_text(Network, note.declared or own.get(labels.DECLARATION))
    actual = read(found)
    if declared is not None:
        actual = settled(declared, actual)
    return build(
        Observed,
        actual=actual,
        declared=declared,
        status=Status(state=State.READY),
        handle=str(found["Id"]),
        project=project_of(own, note),
        managed=own.get(labels.MANAGED) == "true" or note.declared is not None,
    )
