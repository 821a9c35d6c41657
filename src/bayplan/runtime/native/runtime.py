"""The native core behind the runtime protocol: composes images, networks, volumes and containers.

Order within a container's life, so that a kill at any moment leaves only what a record names: the record first, then
its network namespace, then its files; removal goes the other way, the record last.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretBytes

from bayplan import __version__
from bayplan.errors import NotFoundError, RuntimeFailureError, UnsupportedError
from bayplan.models import (
    BindMount,
    Change,
    Container,
    Duration,
    Image,
    Kind,
    Network,
    Resource,
    ResourceId,
    RestartCondition,
    Settings,
    Volume,
    VolumeMount,
    volumes_of_image,
    with_image_volumes,
)
from bayplan.runtime.native import checks
from bayplan.runtime.native.containers import Containers, grants, hooks, joining
from bayplan.runtime.native.containers.containers import IN_PLACE as CONTAINER_IN_PLACE
from bayplan.runtime.native.containers.spec import users
from bayplan.runtime.native.containers.spec.image_mounts import mounted_images
from bayplan.runtime.native.images.images import Images
from bayplan.runtime.native.networks import Kernel, Networks
from bayplan.runtime.native.reconnect import joined, reconnect
from bayplan.runtime.native.state import Database
from bayplan.runtime.native.supervisor import client
from bayplan.runtime.native.supervisor.policy import pause_s
from bayplan.runtime.native.supervisor.records import log_limits
from bayplan.runtime.native.verbs import NativeVerbs
from bayplan.runtime.native.volumes import Volumes
from bayplan.runtime.protocol import (
    ExecResult,
    Facts,
    Health,
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
from bayplan.system.processes import Process

if TYPE_CHECKING:
    from bayplan.runtime.native.builds import Builds
    from bayplan.runtime.native.image_verbs import NativeImageVerbs

IN_PLACE = CONTAINER_IN_PLACE | {"ports", "networks"}
_WAIT_RESTARTS = 6
"""Starts that an apply gives a container it waits for, besides the first: pauses of 6.3 s in all."""


class NativeRuntime(NativeVerbs):
    """One core on this host, at the places its settings name. Safe to use from many threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.state_root / "state.db")
        self.networks = Networks(settings, self.database)
        self.images = Images(settings, lambda: self.builds.session())  # noqa: PLW0108 - loads builds when called
        self.volumes = Volumes(settings, self.database)
        self.containers = Containers(settings, self.database)
        self._changing = False

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

        key = SecretBytes(grants.key(self.settings))
        return Facts(
            engine="native",
            version=__version__,
            host=platform.node(),
            in_place=IN_PLACE,
            network_notes=self.networks.closed_for_new(),
            key=key,
        )

    @contextmanager
    def lock(self, purpose: str, timeout: Duration | None = None) -> Iterator[None]:
        """flock(2) on one file of the state root; a killed holder frees it."""
        limit = None if timeout is None else timeout.total_seconds()
        with locked(self.settings.lock_file, purpose, limit):
            self.containers.runtime.discarded.settle()
            self._sweep()
            self.networks.names.recover()
            self._changing = True
            try:
                yield
            finally:
                self._changing = False
                self.containers.runtime.discarded.settle()
                self.networks.settle()
                self.networks.names.recover()
                self.networks.name_server.settle(anyway=True)
                client.settle(self.settings, self.database)

    def observe(self, scope: Scope) -> Snapshot:
        """Records, held against the kernel and the disk."""
        names = {kind: [item.name for item in scope.names if item.kind is kind] for kind in Kind}
        kernel, places = self.networks.kernel(), self.networks.addresses()
        containers = self.containers.observe(scope.project, names[Kind.CONTAINER])
        found: list[Observed] = [
            *self.networks.observe(scope.project, names[Kind.NETWORK]),
            *self.volumes.observe(scope.project, names[Kind.VOLUME]),
            *(self._with_endpoints(item, kernel, places.get(item.handle, {})) for item in containers),
            *self.images.observe(names[Kind.IMAGE]),
        ]
        return Snapshot({item.id: item for item in found})

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
                self._create_container(resource, project, digest, report)
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
            container_id = self._id(target.name)
            process = self.containers.process(container_id)
            netns = NetworkNamespace.of(process) if process else None
            if netns and self.networks.endpoint_defects(
                container_id, self.networks.kernel(), process.pid if process else None
            ):
                self.networks.heal_endpoints(container_id, netns)

    def delete(self, target: ResourceId, *, image_too: bool = False) -> None:
        """Remove a resource and all it holds; absent is no error."""
        match target.kind:
            case Kind.IMAGE:
                self.images.delete(target.name, self._image_digests())
            case Kind.NETWORK:
                self.networks.delete(target.name)
            case Kind.VOLUME:
                self.volumes.delete(target.name)
            case Kind.CONTAINER:
                container_id = self.containers.find(target.name)
                if container_id is not None:
                    self._delete_container(container_id)
            case _:
                return

    # -- containers --------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start it; its network namespace is made anew first, as a reboot takes it away."""
        self.restart(self._id(name), 0)

    def restart(self, container_id: str, restarts: int) -> None:
        """Start it as its restart policy asks: ``restarts`` counts how often since it was started by a change."""
        state = self.containers.status(container_id).state
        if state is State.RUNNING:
            return
        declared = self.containers.placed(container_id)
        # A paused one keeps its links.
        shared = (declared.network_mode or "").startswith("container:")
        if declared.network_mode == "host" or shared or state is State.PAUSED:
            self.containers.start(container_id, None, {}, tell_names=self.networks.tell_names, restarts=restarts)
            if state is not State.PAUSED:
                hooks.after_start(self.containers, container_id)
            return
        ports = self.networks.able(declared)
        attached = self.networks.prepare(container_id, declared.networks)
        try:
            if users.is_own(declared):
                users.open_ports(attached.netns)
            self.containers.start(
                container_id,
                attached.netns.path,
                attached.own,
                name_server=attached.name_server,
                tell_names=self.networks.tell_names,
                connect=lambda: self.networks.connect(container_id, attached, ports),
                restarts=restarts,
            )
        finally:
            attached.netns.close()
        if ports:
            self.networks.join(container_id)
        hooks.after_start(self.containers, container_id)

    def stop(self, name: str, grace: Duration | None = None) -> None:
        """Ask it to end, after its replicas have taken over what they share."""
        container_id = self._id(name)
        hooks.before_stop(self.containers, container_id)
        self.networks.leave(container_id)
        self.containers.stop(container_id, grace)

    def supersede(self, name: str) -> str:
        """Stop it, free its addresses and ports, and give it another name until its successor runs."""
        container_id = self.containers.find(name)
        if container_id is None:
            return ""
        aside = f"{name[:100]}.superseded-{container_id[:12]}"
        hooks.before_stop(self.containers, container_id)
        self.containers.rename(container_id, aside, superseded=True)
        self.networks.leave(container_id)
        self.containers.stop(container_id, None)
        self.networks.detach(container_id)
        return aside

    def restore(self, aside: str, name: str) -> None:
        """Give it name, endpoints and ports back, and start it."""
        container_id = self._id(aside)
        self.containers.rename(container_id, name, superseded=False)
        self.start(name)

    def wait(self, name: str, condition: str, timeout: Duration, *, stopped: Callable[[], bool] = never) -> Status:
        """Wait for a condition; fails fast. What waits for a container finds it by name afterwards.

        A container that ends meanwhile and has a restart policy is given a few more starts: the supervisor has to
        leave it to the change that holds the host.
        """
        self.networks.name_server.settle()
        container_id, pause = self._id(name), 0.0
        deadline = time.monotonic() + timeout.total_seconds()
        for tries_left in reversed(range(_WAIT_RESTARTS + 1)):
            left = Duration(seconds=max(0.0, deadline - time.monotonic()))
            try:
                found = self.containers.wait(container_id, condition, left, stopped)
            except RuntimeFailureError:
                restarts = self.containers.next_restart(container_id)
                pause = pause_s(pause, 0.0)
                if restarts is None or not tries_left or time.monotonic() + pause >= deadline:
                    raise
            else:
                if found.health is not Health.NONE:
                    self.networks.join(container_id)
                return found
            time.sleep(pause)
            if self._changing:
                self.restart(container_id, restarts)
        raise AssertionError("the last try returns or raises")

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
            timeout=timeout,
        )

    def close(self) -> None:
        """Free sockets and files."""
        self.networks.close()
        self.database.close()

    # -- parts -------------------------------------------------------------------------------------------------

    def _create_container(self, container: Container, project: str, digest: str, report: Report) -> None:
        earlier = self.containers.find(container.name)
        if earlier is not None:
            self._delete_container(earlier)
        stored, lowerdirs = self.images.rootfs(container.image, digest, report)
        container = self._with_image_volumes(container, stored.config.volumes, project)
        container, mounted = mounted_images(container, lambda name, known: self.images.rootfs(name, known, report))
        container_id = secrets.token_hex(32)
        self.containers.reserve(container_id, container, project, stored.digest)
        volumes = {
            mount.source: self.volumes.path(mount.source)
            for mount in container.mounts
            if isinstance(mount, VolumeMount)
        }
        for mount in container.mounts:
            if isinstance(mount, BindMount) and mount.create_host_path and not Path(mount.source).exists():
                Path(mount.source).mkdir(parents=True)
            if isinstance(mount, VolumeMount) and not mount.nocopy and not mount.subpath:
                self.volumes.fill(mount.source, lowerdirs, mount.target)
        self.containers.create(container_id, stored.config, lowerdirs, volumes, mounted)

    def _with_image_volumes(self, container: Container, paths: Sequence[str], project: str) -> Container:
        """With the volumes that its image asks for; one that the plan could not know of is made here."""
        found = with_image_volumes(container, paths)
        for volume in volumes_of_image(found, project):
            if not self.volumes.path(volume.name).is_dir():
                self.volumes.create(volume, project)
        return found

    def _delete_container(self, container_id: str) -> None:
        hooks.before_stop(self.containers, container_id)
        self.networks.leave(container_id)
        self.containers.expect_end(container_id)
        self.containers.stop(container_id)
        self.networks.detach(container_id, ended=True)
        self.containers.delete(container_id)

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

    def _with_endpoints(self, item: Observed, kernel: Kernel, places: Mapping[str, Any]) -> Observed:
        if item.status.state not in (State.RUNNING, State.PAUSED):
            return item
        defects = dict(self.networks.endpoint_defects(item.handle, kernel, item.status.pid))
        declared = item.declared
        # By its number, not by its record: a change that is under way may have removed that meanwhile.
        process = Process.of(item.status.pid) if item.status.pid else None
        if isinstance(declared, Container) and process:
            defects |= dict.fromkeys(joining.lost(declared, process, self.containers.running), Change.RESTART.value)
        kept = isinstance(declared, Container) and declared.restart.condition is not RestartCondition.NO
        cut = isinstance(declared, Container) and _log_is_cut(declared, self.settings)
        watched = kept or item.status.health is not Health.NONE or cut
        if watched and not client.is_alive(self.settings):
            defects = {**defects, "the supervisor does not run": Change.IN_PLACE.value}
        ports = tuple(str(port) for port in kernel.ports.get(item.handle, ()))
        status = item.status.model_copy(update={**places, "ports": ports})
        actual = joined(item.actual, places.get("addresses", {}))
        return item.model_copy(update={"actual": actual, "defects": {**item.defects, **defects}, "status": status})

    def _id(self, name: str) -> str:
        container_id = self.containers.find(name)
        if container_id is None:
            raise NotFoundError(f"container {name} does not exist", hint="see `bayplan status`")
        return container_id

    def _image_digests(self) -> frozenset[str]:
        return frozenset(self.containers.records.images())


def _log_is_cut(container: Container, settings: Settings) -> bool:
    kept = container.logging and container.logging.model_dump(mode="json")
    return log_limits({"logging": kept}, settings) is not None
