"""An engine behind the runtime protocol: composes its client, images, networks, volumes and containers.

Docker and Podman are this with what differs (``bayplan.runtime.docker``, ``bayplan.runtime.podman``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from pydantic import SecretBytes

from bayplan.errors import UnsupportedError
from bayplan.models import Container, Duration, Image, Kind, Network, Resource, ResourceId, Volume
from bayplan.runtime import seal
from bayplan.runtime.engine_api import checks, volumes, waiting
from bayplan.runtime.engine_api.client import told
from bayplan.runtime.engine_api.options import networks
from bayplan.runtime.engine_api.verbs import EngineVerbs
from bayplan.runtime.protocol import (
    Facts,
    Observed,
    Report,
    ResolvedImage,
    Scope,
    Snapshot,
    Status,
    never,
    silent,
)
from bayplan.system.files import locked


class EngineRuntime(EngineVerbs):
    """One engine that answers Docker's API. Safe to use from many threads."""

    # -- reading -----------------------------------------------------------------------------------------------

    def facts(self) -> Facts:
        """What it changes in place."""
        named = {f"resources.{name}" for name in self.limits_in_place}
        resets = {f"resources.{name}" for name in self.limits_resettable}
        return Facts(
            engine=self.kind,
            version=self.engine.version,
            host=self.engine.host,
            in_place=frozenset({"restart", "networks", "post_start", "pre_stop", *named}),
            resets=frozenset(resets),
            kernel=self.engine.kernel,
            key=SecretBytes(seal.key(self.settings)),
        )

    @contextmanager
    def lock(self, purpose: str, timeout: Duration | None = None) -> Iterator[None]:
        """flock(2) on one file of this client's state root."""
        with locked(self.settings.lock_file, purpose, None if timeout is None else timeout.total_seconds()):
            yield

    def observe(self, scope: Scope) -> Snapshot:
        """One list of each kind, and inspections of what is in the scope."""
        names = {kind: [item.name for item in scope.names if item.kind is kind] for kind in Kind}
        with told(f"{self.kind} at {self.client.place.address}"):
            nets = self.pool.submit(self.networks.all)
            vols = self.pool.submit(self.volumes.all)
            notes, listed = self.declarations.all(), self.containers.all()
            found: list[Observed] = self.containers.observe(
                listed,
                notes,
                scope.project,
                frozenset(names[Kind.CONTAINER]),
                lambda: {str(one["Name"]): str(one["Id"]) for one in nets.result()},
            )
            found += self.networks.observe(nets.result(), notes, scope.project, names[Kind.NETWORK])
            found += self.volumes.observe(vols.result(), notes, scope.project, names[Kind.VOLUME])
            found += self.images.observe(names[Kind.IMAGE])
        return Snapshot({item.id: item for item in found})

    def aligned(self, desired: Resource, observed: Observed) -> Observed:
        """With the desired spelling of what means the same here."""
        match desired:
            case Container():
                return self.containers.aligned(desired, observed)
            case Network():
                return networks.aligned(desired, observed)
            case Volume():
                return volumes.aligned(desired, observed)
        return observed

    def resolve(self, image: Image) -> ResolvedImage:
        """What the image stands for now, by its pull policy."""
        return self.images.resolve(image)

    def check(self, resources: Sequence[Resource], project: str, *, removing: Collection[ResourceId] = ()) -> None:
        """Refuse what cannot work here, before any change."""
        if not resources and not removing:
            return
        with told(f"{self.kind} at {self.client.place.address}"):
            asked = {
                Kind.CONTAINER: self.pool.submit(self.containers.all),
                Kind.NETWORK: self.pool.submit(self.networks.all),
                Kind.VOLUME: self.pool.submit(self.volumes.all),
            }
            there = {kind: one.result() for kind, one in asked.items()}
        checks.check(resources, removing, self.engine, there, self.table)

    # -- resources ---------------------------------------------------------------------------------------------

    def create(self, resource: Resource, *, project: str, digest: str = "", report: Report = silent) -> None:
        """Make a resource; what an interrupted create left is removed first."""
        match resource:
            case Image():
                self.images.create(resource, digest, report)
            case Network():
                self.networks.create(resource, project)
            case Volume():
                self.volumes.create(resource, project)
            case Container():
                self.lives.create(resource, project, digest, report)
            case _:
                raise UnsupportedError(f"{resource.kind.value} resources are not built yet", where=str(resource.id))

    def prepare(self, container: Container, *, digest: str = "", report: Report = silent) -> None:
        """Fetch the image: all that a create can lack."""
        self.images.image_id(container.image, digest, report)

    def update(self, resource: Resource, fields: Sequence[str], *, project: str) -> None:
        """Change fields of what is there, and record the declaration."""
        match resource:
            case Network():
                self.networks.record(resource, project)
            case Volume():
                self.volumes.record(resource, project)
            case Container():
                self.lives.update(resource, fields, project)

    def heal(self, target: ResourceId) -> None:
        """Nothing: no defect that is reported is mended in place."""

    def delete(self, target: ResourceId, *, image_too: bool = False) -> None:
        """Remove a resource; absent is no error."""
        match target.kind:
            case Kind.IMAGE:
                self.images.delete(target.name)
            case Kind.NETWORK:
                self.networks.delete(target.name)
            case Kind.VOLUME:
                self.volumes.delete(target.name)
            case Kind.CONTAINER:
                self.lives.delete(target.name)
            case _:
                return

    # -- containers --------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start it."""
        self.lives.start(name)

    def stop(self, name: str, grace: Duration | None = None) -> None:
        """Ask it to end."""
        self.lives.stop(name, grace)

    def supersede(self, name: str) -> str:
        """Set it aside for its successor; nothing when it is not there."""
        return self.lives.supersede(name)

    def restore(self, aside: str, name: str) -> None:
        """Give it its name back and start it."""
        self.lives.restore(aside, name)

    def create_beside(self, container: Container, *, project: str, digest: str = "", report: Report = silent) -> str:
        """Make a successor beside it."""
        return self.lives.create_beside(container, project, digest, report)

    def take_over(self, beside: str, name: str) -> str:
        """Rename both."""
        return self.lives.take_over(beside, name)

    def drain(self, name: str) -> None:
        """Wait for the end of its connections."""
        self.lives.drain(name)

    def wait(self, name: str, condition: str, timeout: Duration, *, stopped: Callable[[], bool] = never) -> Status:
        """Wait for a condition; fails fast."""
        return waiting.wait(self.containers, name, condition, timeout, stopped)

    def close(self) -> None:
        """Free sockets and files."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.declarations.close()
        if self._lent is not None:
            self._lent.close()
        self.client.close()
