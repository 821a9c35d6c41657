"""The native core behind the runtime protocol: composes images, networks, volumes and containers.

What a container's life is made of, and in which order, is in ``lives``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import SecretBytes

from bayplan import __version__
from bayplan.errors import NotFoundError, UnsupportedError
from bayplan.models import (
    Container,
    Duration,
    Image,
    Kind,
    Network,
    Resource,
    ResourceId,
    Settings,
    Volume,
)
from bayplan.runtime import seal
from bayplan.runtime.native import alike, checks
from bayplan.runtime.native.containers import Containers
from bayplan.runtime.native.containers.containers import IN_PLACE as CONTAINER_IN_PLACE
from bayplan.runtime.native.images.images import Images
from bayplan.runtime.native.images.kept import KeptImages
from bayplan.runtime.native.lives import Lives
from bayplan.runtime.native.networks import Networks
from bayplan.runtime.native.observing import with_endpoints, with_layers
from bayplan.runtime.native.reconnect import reconnect
from bayplan.runtime.native.state import Database
from bayplan.runtime.native.supervisor import client
from bayplan.runtime.native.verbs import NativeVerbs
from bayplan.runtime.native.volumes import Volumes
from bayplan.runtime.protocol import (
    ExecResult,
    Facts,
    LogLine,
    Observed,
    Report,
    ResolvedImage,
    Scope,
    Snapshot,
    State,
    Status,
    never,
    silent,
)
from bayplan.system.files import locked
from bayplan.system.namespaces import NetworkNamespace

if TYPE_CHECKING:
    from bayplan.runtime.native.builds import Builds
    from bayplan.runtime.native.image_verbs import NativeImageVerbs

IN_PLACE = CONTAINER_IN_PLACE | {"ports", "networks"}


class NativeRuntime(NativeVerbs):
    """One core on this host, at the places its settings name. Safe to use from many threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.state_root / "state.db")
        self.networks = Networks(settings, self.database)
        self.images = Images(settings, lambda: self.builds.session())  # noqa: PLW0108 - loads builds when called
        self.volumes = Volumes(settings, self.database)
        self.containers = Containers(settings, self.database)
        self.lives = Lives(self.containers, self.images, self.networks, self.volumes)

    @cached_property
    def builds(self) -> Builds:
        """What runs the steps of builds, loaded at first use."""
        from bayplan.runtime.native.builds import Builds

        return Builds(self.settings, self.networks)

    @cached_property
    def image_verbs(self) -> NativeImageVerbs:
        """Images by name, loaded at first use."""
        from bayplan.runtime.native.image_verbs import NativeImageVerbs

        return NativeImageVerbs(self.images, self.containers)

    # -- reading -----------------------------------------------------------------------------------------------

    def facts(self) -> Facts:
        """What the native core changes in place."""
        import platform

        from bayplan.system import kernel

        key = SecretBytes(seal.key(self.settings))
        return Facts(
            engine="native",
            version=__version__,
            host=platform.node(),
            in_place=IN_PLACE,
            network_notes=self.networks.closed_for_new,
            kernel=kernel.facts(),
            key=key,
        )

    @contextmanager
    def lock(self, purpose: str, timeout: Duration | None = None) -> Iterator[None]:
        """flock(2) on one file of the state root; a killed holder frees it."""
        limit = None if timeout is None else timeout.total_seconds()
        with locked(self.settings.lock_file, purpose, limit):
            outline = self.database.outline()
            self.containers.runtime.discarded.settle()
            self._sweep()
            self.networks.names.recover()
            self.lives.changing = True
            try:
                yield
            finally:
                self.lives.changing = False
                self.containers.runtime.discarded.begin()
                self.networks.settle()
                self.networks.forget_gone()
                self.networks.names.recover()
                self.networks.name_server.settle(anyway=True)
                self.database.keep_copy(outline)
                self.database.keep_cards()
                self.containers.runtime.discarded.settle()
                client.settle(self.settings, self.database)

    def observe(self, scope: Scope) -> Snapshot:
        """Records, held against the kernel and the disk."""
        names = {kind: [item.name for item in scope.names if item.kind is kind] for kind in Kind}
        kernel = self.networks.kernel()
        containers = self.containers.observe(scope.project, names[Kind.CONTAINER])
        lost = self.images.lost(item.image_digest for item in containers)
        containers = [with_layers(item, lost) for item in containers]
        if not scope.presence:
            places = self.networks.addresses()
            containers = [
                with_endpoints(item, kernel, places.get(item.handle, {}), self.networks, self.containers)
                for item in containers
            ]
        found: list[Observed] = [
            *self.networks.observe(scope.project, names[Kind.NETWORK], kernel),
            *self.volumes.observe(scope.project, names[Kind.VOLUME]),
            *containers,
            *self.images.observe(names[Kind.IMAGE]),
        ]
        return Snapshot({item.id: item for item in found})

    def aligned(self, desired: Resource, observed: Observed) -> Observed:
        """With the desired spelling of what the image or the core gives anyway: it shows the declaration itself."""
        match desired:
            case Container():
                return alike.container(
                    desired, observed, lambda: self.images.config(observed.image_digest), self.settings
                )
            case Network():
                return alike.network(desired, observed)
        return observed

    def resolve(self, image: Image) -> ResolvedImage:
        """What the image stands for now, by its pull policy."""
        return self.images.resolve(image)

    def check(self, resources: Sequence[Resource], project: str, *, removing: Collection[ResourceId] = ()) -> None:
        """Refuse what cannot work here, before any change."""
        checks.check(
            resources,
            removing,
            networks=self.networks,
            volumes=self.volumes,
            images=self.images,
            database=self.database,
            settings=self.settings,
        )

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
        """Unpack the image's layers."""
        self.images.rootfs(container.image, digest, report)

    def update(self, resource: Resource, fields: Sequence[str], *, project: str) -> None:
        """Change fields of what runs."""
        match resource:
            case Network():
                self.networks.update_labels(resource)
            case Volume():
                self.volumes.update_labels(resource)
            case Container():
                container_id = self._id(resource.name)
                if "networks" in fields:
                    reconnect(self.networks, self.containers, container_id, resource)
                # One that does not run gets its ports with its start.
                if "ports" in fields and self.containers.status(container_id).state in (State.RUNNING, State.PAUSED):
                    self.networks.set_ports(container_id, resource.ports)
                self.containers.update(container_id, resource)

    def heal(self, target: ResourceId) -> None:
        """Put back links, addresses and rules as recorded; the supervisor comes back at the end of the change."""
        if target.kind is Kind.NETWORK:
            self.networks.heal(target.name)
        elif target.kind is Kind.VOLUME:
            self.volumes.heal(target.name)
        elif target.kind is Kind.CONTAINER:
            self._heal_container(self._id(target.name))

    def _heal_container(self, container_id: str) -> None:
        self.containers.mend(container_id)
        process = self.containers.process(container_id)
        netns = NetworkNamespace.of(process) if process else None
        if process is None or netns is None:
            return
        kernel = self.networks.kernel()
        declared = self.containers.placed(container_id)
        if self.networks.names_defects(container_id, kernel, [str(one) for one in declared.dns]):
            told = self.networks.told(container_id, netns)
            self.containers.retell(container_id, declared, told.own, told.name_server)
            self.networks.names.write(container_id)
        if self.networks.endpoint_defects(container_id, kernel, process.pid) or (
            self.networks.inside_defects(container_id, kernel, process.pid)
        ):
            self.networks.heal_endpoints(container_id, netns)

    def delete(self, target: ResourceId, *, image_too: bool = False) -> None:
        """Remove a resource and all it holds; absent is no error."""
        match target.kind:
            case Kind.IMAGE:
                self.images.delete(
                    target.name, frozenset(self.containers.records.images()), KeptImages(self.database).all()
                )
            case Kind.NETWORK:
                self.networks.delete(target.name)
            case Kind.VOLUME:
                self.volumes.delete(target.name)
            case Kind.CONTAINER:
                container_id = self.containers.find(target.name)
                if container_id is not None:
                    self.lives.delete(container_id)
            case _:
                return

    # -- containers --------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start it."""
        self.lives.start(self._id(name), 0)

    def restart(self, container_id: str, restarts: int) -> None:
        """Start it as its restart policy asks: ``restarts`` counts how often since it was started by a change."""
        self.lives.start(container_id, restarts)

    def stop(self, name: str, grace: Duration | None = None) -> None:
        """Ask it to end."""
        self.lives.stop(self._id(name), grace)

    def supersede(self, name: str) -> str:
        """Set it aside for its successor; nothing when it is not there."""
        container_id = self.containers.find(name)
        return "" if container_id is None else self.lives.supersede(container_id, name)

    def restore(self, aside: str, name: str) -> None:
        """Give it its name back and start it."""
        self.lives.restore(self._id(aside), name)

    def create_beside(self, container: Container, *, project: str, digest: str = "", report: Report = silent) -> str:
        """Make a successor beside it."""
        return self.lives.create_beside(container, project, digest, report)

    def take_over(self, beside: str, name: str) -> str:
        """Names and ports move at once."""
        return self.lives.take_over(self._id(beside), name)

    def drain(self, name: str) -> None:
        """Wait for the end of its connections."""
        self.lives.drain(self._id(name))

    def wait(self, name: str, condition: str, timeout: Duration, *, stopped: Callable[[], bool] = never) -> Status:
        """Wait for a condition; fails fast."""
        return self.lives.wait(self._id(name), condition, timeout, stopped)

    def logs(
        self,
        name: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[LogLine]:
        """What it wrote."""
        return self.containers.logs(self._id(name), follow=follow, tail=tail, since=since, until=until)

    def exec(
        self,
        name: str,
        command: Sequence[str],
        *,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        working_dir: str | None = None,
        tty: bool = False,
        stdin: bytes | None = None,
        capture: bool = True,
        detach: bool = False,
        privileged: bool = False,
        detach_keys: bytes = b"",
        timeout: Duration | None = None,
    ) -> ExecResult:
        """Run a command in it."""
        return self.containers.exec(
            self._id(name),
            command,
            user=user,
            environment=environment,
            working_dir=working_dir,
            tty=tty,
            stdin=stdin,
            capture=capture,
            detach=detach,
            privileged=privileged,
            detach_keys=detach_keys,
            timeout=timeout,
        )

    def close(self) -> None:
        """Free sockets and files."""
        self.networks.close()
        self.database.close()

    # -- parts -------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Free what a killed change left without a record of a resource."""
        if any((self.settings.state_root / "builds").glob("*")) or self.networks.of_builds():
            self.builds.sweep()
        rows = self.database.query(
            "SELECT DISTINCT container_id FROM endpoints WHERE container_id NOT IN (SELECT id FROM containers)"
        )
        for row in rows:
            self.networks.detach(str(row[0]))
        self.volumes.sweep()
        self.images.store.sweep(self.images.layers.root)

    def _id(self, name: str) -> str:
        container_id = self.containers.find(name)
        if container_id is None:
            raise NotFoundError(f"container {name} does not exist", hint="see `bayplan status`")
        return container_id
