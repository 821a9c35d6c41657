"""The life of one container, over images, networks, volumes and the containers' own records.

Order, so that a kill at any moment leaves only what a record names: the record first, then its network namespace, then
its files; removal goes the other way, the record last.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bayplan.errors import BayplanError, RuntimeFailureError
from bayplan.models import (
    BindMount,
    Container,
    Duration,
    VolumeMount,
    volumes_of_image,
    with_exposed_ports,
    with_image_volumes,
)
from bayplan.runtime import start_first
from bayplan.runtime.native.containers import Containers, hooks
from bayplan.runtime.native.containers.spec import users
from bayplan.runtime.native.containers.spec.image_mounts import mounted_images
from bayplan.runtime.native.containers.starting import NOBODY, Caller
from bayplan.runtime.native.images.images import Images
from bayplan.runtime.native.networks import Networks
from bayplan.runtime.native.supervisor import client
from bayplan.runtime.native.supervisor.policy import pause_s
from bayplan.runtime.native.volumes import Volumes
from bayplan.runtime.protocol import STAYS, Health, Report, State, Status, never
from bayplan.runtime.spare import ASIDE, BESIDE, spare_name

_WAIT_RESTARTS = 6
"""Starts that an apply gives a container it waits for, besides the first: pauses of 6.3 s in all."""


@dataclass
class Lives:
    """Makes, starts, stops and removes containers. Safe to use from many threads for different ones."""

    containers: Containers
    images: Images
    networks: Networks
    volumes: Volumes
    changing: bool = False
    """Whether this process holds the host for a change: only then may it start what ended."""

    def create(self, container: Container, project: str, digest: str, report: Report) -> None:
        """Make it, or leave nothing; what an interrupted create left of that name is removed first."""
        earlier = self.containers.find(container.name)
        if earlier is not None:
            self.delete(earlier)
        container_id = secrets.token_hex(32)
        try:
            self._make((container_id, container.name), container, project, digest, report)
        except Exception:
            if self.containers.find(container.name) is not None:
                with suppress(BayplanError, OSError):  # what cannot be removed is for the next apply
                    self.delete(container_id)
            raise

    def create_beside(self, container: Container, project: str, digest: str, report: Report) -> str:
        """Make its successor under a name of its own; see ``Runtime.create_beside``."""
        container_id = secrets.token_hex(32)
        beside = spare_name(container.name, BESIDE, container_id)
        try:
            self._make((container_id, beside), container, project, digest, report)
        except BaseException:
            if self.containers.find(beside) is not None:
                self.delete(container_id)
            raise
        return beside

    def _make(self, made: tuple[str, str], container: Container, project: str, digest: str, report: Report) -> None:
        """``made`` are the id and the name that it gets."""
        container_id, name = made
        stored, lowerdirs = self.images.rootfs(container.image, digest, report)
        container = self._with_image_volumes(container, stored.config.volumes, project)
        container = with_exposed_ports(container, stored.config.exposed_ports)
        container, mounted = mounted_images(container, lambda name, known: self.images.rootfs(name, known, report))
        # Volumes of its image are called by its own name.
        is_spare, container = name != container.name, container.model_copy(update={"name": name})
        self.containers.reserve(container_id, container, project, stored.digest, spare=is_spare)
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

    def start(self, container_id: str, restarts: int, caller: Caller = NOBODY) -> None:
        """Start it; its network namespace is made anew first, as a reboot takes it away.

        ``restarts`` counts how often its restart policy asked for it since it was started by a change.
        """
        status, declared = self.containers.look(container_id)
        state = status.state
        if state is State.RUNNING:
            return
        # A paused one keeps its links.
        shared = (declared.network_mode or "").startswith("container:")
        if declared.network_mode == "host" or shared or state is State.PAUSED:
            told = self.networks.tell_names
            self.containers.start(container_id, None, {}, tell_names=told, restarts=restarts, caller=caller)
            if state is not State.PAUSED:
                hooks.after_start(self.containers, container_id, declared)
            return
        ports = self.networks.able(declared)
        if ports and self.containers.is_spare(container_id):
            ports = ()
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
                caller=caller,
            )
        finally:
            attached.netns.close()
        if ports:
            self.networks.join(container_id)
        hooks.after_start(self.containers, container_id, declared)

    def stop(self, container_id: str, grace: Duration | None) -> None:
        """Ask it to end, after its replicas have taken over what they share."""
        hooks.before_stop(self.containers, container_id)
        self.networks.leave(container_id)
        self.containers.stop(container_id, grace)

    def supersede(self, container_id: str, name: str) -> str:
        """Stop it, free its addresses and ports, and give it another name until its successor runs."""
        aside = spare_name(name, ASIDE, container_id)
        hooks.before_stop(self.containers, container_id)
        self.containers.rename(container_id, aside, superseded=True)
        self.networks.leave(container_id)
        self.containers.stop(container_id, None)
        self.networks.detach(container_id)
        return aside

    def restore(self, container_id: str, name: str) -> None:
        """Give it name, endpoints and ports back, and start it."""
        self.containers.rename(container_id, name, superseded=False)
        self.start(container_id, 0)

    def take_over(self, container_id: str, name: str) -> str:
        """Names and ports in one transaction, then the kernel's rules in one; names of peers follow.

        What a kill between them leaves, the records tell: the next plan finds the ports elsewhere than they say.
        """
        placed, predecessor = self.containers.placed(container_id), self.containers.find(name) or ""
        aside = spare_name(name, ASIDE, predecessor) if predecessor else ""
        self.networks.take_over(
            container_id,
            predecessor,
            self.networks.able(placed),
            lambda tx: self.containers.records.swap(tx, container_id, name, predecessor, aside),
        )
        self.networks.tell_peers()
        client.wake(self.containers.settings)
        return aside

    def drain(self, container_id: str) -> None:
        """Let its connections end, when all know that its names are another's."""
        self.networks.names.recover()
        self.networks.name_server.settle()

        def pid() -> int | None:
            process = self.containers.process(container_id)
            return process.pid if process else None

        start_first.drain(pid, self.containers.declared(container_id).stop_grace_period)

    def wait(self, container_id: str, condition: str, timeout: Duration, stopped: Callable[[], bool] = never) -> Status:
        """Wait for a condition; fails fast. What waits for a container finds it by name afterwards.

        A container that ends meanwhile and has a restart policy is given a few more starts: the supervisor has to
        leave it to the change that holds the host.
        """
        self.networks.name_server.settle()
        if condition == STAYS:
            return self.containers.wait(container_id, condition, timeout, stopped)
        pause = 0.0
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
            if self.changing:
                self.start(container_id, restarts)
        raise AssertionError("the last try returns or raises")

    def delete(self, container_id: str) -> None:
        """Remove it and all it holds; a running one is stopped."""
        hooks.before_stop(self.containers, container_id)
        self.networks.leave(container_id)
        self.containers.expect_end(container_id)
        self.containers.stop(container_id, to_remove=True)
        self.networks.detach(container_id, ended=True)
        self.containers.delete(container_id)

    def _with_image_volumes(self, container: Container, paths: Sequence[str], project: str) -> Container:
        """With the volumes that its image asks for; one that the plan could not know of is made here."""
        found = with_image_volumes(container, paths)
        for volume in volumes_of_image(found, project):
            if not self.volumes.path(volume.name).is_dir():
                self.volumes.create(volume, project)
        return found
