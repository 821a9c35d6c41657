"""Secrets and configs of a swarm. What one holds can never change: another content is another one, by its name."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from bayplan.errors import DeclarationError
from bayplan.models import Kind, ResourceId
from bayplan.models.swarm import Config, Secret
from bayplan.runtime.engine_api.client import told
from bayplan.runtime.protocol import Observed, State, Status
from bayplan.runtime.swarm.cluster import Cluster, Entry, absent, owned, owner, plain

_MOST_BYTES = {Kind.SECRET: 500 * 1024, Kind.CONFIG: 1000 * 1024}
"""SwarmKit, "MaxSecretSize" and "MaxConfigSize"."""
_LONGEST = 64
_ROOM = {Kind.SECRET: "/secrets", Kind.CONFIG: "/configs"}
_MODEL: dict[Kind, type[Config]] = {Kind.SECRET: Secret, Kind.CONFIG: Config}


class Kept:
    """Makes, labels and removes them. Contents go in the body of one request, nowhere else."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def observe(self) -> Iterator[Observed]:
        """All that the swarm has."""
        for kind, found in ((Kind.SECRET, self.cluster.secrets()), (Kind.CONFIG, self.cluster.configs())):
            yield from (_observed(kind, one) for one in found)

    def check(self, resource: Config) -> None:
        """Raise DeclarationError for a name or content that the swarm would not take."""
        if resource.external:
            return
        if resource.content is None:
            raise DeclarationError("has no content", where=str(resource.id), hint="see the warning about its source")
        size, most = len(resource.content.get_secret_value()), _MOST_BYTES[resource.kind]
        if not 0 < size <= most:
            raise DeclarationError(f"holds {size} bytes; a swarm takes 1 to {most}", where=str(resource.id))
        if len(resource.name) > _LONGEST:
            raise DeclarationError(
                f"a swarm takes names of {_LONGEST} characters, the fingerprint of the content included",
                where=str(resource.id),
                hint="give it a shorter name",
            )

    def create(self, resource: Config, project: str) -> None:
        """Give it to the swarm."""
        self.check(resource)
        assert resource.content is not None
        body = {
            "Name": resource.name,
            "Labels": owned(resource.labels, project),
            "Data": base64.b64encode(resource.content.get_secret_value()).decode(),
        }
        with told(str(resource.id)):
            self.cluster.client.call("POST", f"{_ROOM[resource.kind]}/create", body=body)

    def update(self, resource: Config, project: str) -> None:
        """Change its labels, all that can be changed."""

        def change(found: Entry) -> None:
            spec: dict[str, Any] = {**found["Spec"], "Labels": owned(resource.labels, project)}
            query = {"version": found["Version"]["Index"]}
            path = f"{_ROOM[resource.kind]}/{found['ID']}/update"
            self.cluster.client.call("POST", path, body=spec, query=query)

        self.cluster.change(str(resource.id), lambda: self._find(resource.id), change)

    def delete(self, target: ResourceId) -> None:
        """Remove it. Raises ConflictError while a service has it."""
        found = self._find(target)
        if found is not None:
            path = f"{_ROOM[target.kind]}/{found['ID']}"
            absent(lambda: self.cluster.client.call("DELETE", path), str(target), in_use="in use")

    def _find(self, target: ResourceId) -> Entry | None:
        found = self.cluster.secrets() if target.kind is Kind.SECRET else self.cluster.configs()
        return next((one for one in found if one["Spec"]["Name"] == target.name), None)


def _observed(kind: Kind, found: Entry) -> Observed:
    spec = found["Spec"]
    project, managed = owner(spec.get("Labels"))
    return Observed(
        actual=_MODEL[kind](name=spec["Name"], labels=plain(spec.get("Labels"))),
        status=Status(state=State.READY),
        handle=found["ID"],
        project=project,
        managed=managed,
    )
