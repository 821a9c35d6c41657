"""The runtime protocol over a dictionary, with switches for the failures that tests want to see."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import SecretBytes

from bayplan.errors import ConflictError, NotFoundError
from bayplan.models import Container, Duration, Image, Kind, Network, Resource, ResourceId, Volume
from bayplan.runtime import start_first
from bayplan.runtime.fake.images import FakeImageVerbs
from bayplan.runtime.fake.verbs import FakeVerbs
from bayplan.runtime.protocol import (
    Facts,
    Health,
    ImageOrigin,
    Observed,
    Report,
    ResolvedImage,
    Scope,
    Snapshot,
    State,
    Status,
    silent,
)

IN_PLACE = frozenset(
    (
        *("labels", "ports", "networks", "restart", "healthcheck", "resources", "stop_signal", "stop_grace_period"),
        *("post_start", "pre_stop"),
    )
)
_ASIDE = ".superseded"
_BESIDE = ".successor"


@dataclass
class FakeRuntime(FakeVerbs):
    """An engine in memory. ``fail`` maps a call (``start web``) to the message with which it fails."""

    def facts(self) -> Facts:
        """In-place changes as the native core does them."""
        return Facts(engine="fake", version="1", host="memory", in_place=IN_PLACE, key=SecretBytes(b"fake"))

    @contextmanager
    def lock(self, purpose: str, timeout: Duration | None = None) -> Iterator[None]:
        """Nobody else is there."""
        yield

    def observe(self, scope: Scope) -> Snapshot:
        """What was made before, within the scope."""
        named = frozenset(scope.names)
        with self._mutex:
            return Snapshot(
                {
                    key: item
                    for key, item in self.resources.items()
                    if key in named or (scope.project is not None and item.project == scope.project)
                }
                | {key: self._image(key.name) for key in scope.names if self._has_image(key)}
            )

    def aligned(self, desired: Resource, observed: Observed) -> Observed:
        """As it is: it shows the declaration itself."""
        return observed

    def resolve(self, image: Image) -> ResolvedImage:
        """By name: a digest of the name, or what ``registry`` says."""
        if image.build is not None:
            made = "fingerprint:" + hashlib.sha256(image.build.model_dump_json().encode()).hexdigest()
            digest = self.local_images.get(made)
            present = digest is not None and self.local_images.get(image.name) == digest
            return ResolvedImage(name=image.name, digest=digest or made, present=present, origin=ImageOrigin.BUILD)
        if image.pin is not None:
            there = self.local_images.get(image.name) == image.pin.digest
            origin = ImageOrigin.REGISTRY
            return ResolvedImage(name=image.name, digest=image.pin.digest, present=there, origin=origin)
        if self.registry and image.name not in self.registry:
            raise NotFoundError(f"image {image.name} does not exist", hint="check its name and tag")
        digest = self.registry.get(image.name) or _digest(image.name)
        return ResolvedImage(
            name=image.name,
            digest=digest,
            present=self.local_images.get(image.name) == digest,
            origin=ImageOrigin.REGISTRY,
        )

    def check(self, resources: Sequence[Resource], project: str, *, removing: Collection[ResourceId] = ()) -> None:
        """Refuse a host port that two containers want."""
        named = {*removing, *(item.id for item in resources)}
        taken = {
            (port.published, port.protocol): item.actual.service or item.id.name
            for key, item in self.resources.items()
            if isinstance(item.actual, Container) and key not in named
            for port in item.actual.ports
            if not port.chosen
        }
        for resource in resources:
            if isinstance(resource, Container):
                start_first.check(resource, "fake", shares_ports=True)
            for port in resource.ports if isinstance(resource, Container) else ():
                name = (isinstance(resource, Container) and resource.service) or resource.name
                owner = name if port.chosen else taken.setdefault((port.published, port.protocol), name)
                if owner != name:
                    raise ConflictError(f"port {port.published}/{port.protocol} is taken by {owner}")

    def create(self, resource: Resource, *, project: str, digest: str = "", report: Report = silent) -> None:
        """Record the resource."""
        self._call("create", resource.name)
        with self._mutex:
            if isinstance(resource, Image):
                made = digest
                if digest.startswith("fingerprint:"):
                    made = self.local_images[digest] = self.built.get(resource.name) or _digest(digest)
                self.local_images[resource.name] = made
                return
            if not isinstance(resource, (Container, Network, Volume)):
                raise NotFoundError(f"{resource.kind} resources are not made by this engine")
            state = State.CREATED if isinstance(resource, Container) else State.READY
            self.resources[resource.id] = Observed(
                actual=resource,
                declared=resource,
                status=Status(state=state),
                project=project,
                handle=hashlib.sha256(f"{resource.id}{len(self.calls)}".encode()).hexdigest(),
                image_digest=digest if isinstance(resource, Container) else "",
            )

    def prepare(self, container: Container, *, digest: str = "", report: Report = silent) -> None:
        """Nothing takes time here."""

    def update(self, resource: Resource, fields: Sequence[str], *, project: str) -> None:
        """Take over the named fields."""
        self._call("update", resource.name)
        with self._mutex:
            held = self.resources[resource.id]
            actual = held.actual.model_copy(update={name: getattr(resource, name) for name in fields})
            self.resources[resource.id] = held.model_copy(update={"actual": actual, "declared": resource})

    def heal(self, target: ResourceId) -> None:
        """Forget the defects."""
        self._call("heal", target.name)
        with self._mutex:
            self.resources[target] = self.resources[target].model_copy(update={"defects": {}})

    def delete(self, target: ResourceId, *, image_too: bool = False) -> None:
        """Forget the resource."""
        self._call("delete", target.name)
        with self._mutex:
            self.resources.pop(target, None)
            if target.kind is Kind.IMAGE:
                self.local_images.pop(target.name, None)

    def start(self, name: str) -> None:
        """Mark it running, whole, and healthy if it has a check."""
        self._call("start", name)
        with self._mutex:
            key = ResourceId(kind=Kind.CONTAINER, name=name)
            self.resources[key] = self.resources[key].model_copy(update={"defects": {}})
        self._set(name, state=State.RUNNING, health=Health.HEALTHY, pid=1000, exit_code=None)

    def stop(self, name: str, grace: Duration | None = None) -> None:
        """Mark it ended."""
        self._call("stop", name)
        self._set(name, state=State.EXITED, health=Health.NONE, pid=None, exit_code=0)

    def supersede(self, name: str) -> str:
        """Rename and stop it."""
        self._call("supersede", name)
        with self._mutex:
            held = self.resources.pop(ResourceId(kind=Kind.CONTAINER, name=name), None)
            if held is None:
                return ""
            aside = held.actual.model_copy(update={"name": name + _ASIDE})
            status = held.status.model_copy(update={"state": State.EXITED})
            self.resources[aside.id] = held.model_copy(update={"actual": aside, "superseded": True, "status": status})
        return aside.name

    def restore(self, aside: str, name: str) -> None:
        """Give it its name back and mark it running."""
        self._call("restore", name)
        with self._mutex:
            held = self.resources.pop(ResourceId(kind=Kind.CONTAINER, name=aside))
            actual = held.actual.model_copy(update={"name": name})
            self.resources[actual.id] = held.model_copy(update={"actual": actual, "superseded": False})
        self._set(name, state=State.RUNNING)

    def create_beside(self, container: Container, *, project: str, digest: str = "", report: Report = silent) -> str:
        """Record it under a name of its own."""
        beside = container.model_copy(update={"name": container.name + _BESIDE})
        self.create(beside, project=project, digest=digest)
        with self._mutex:
            self.resources[beside.id] = self.resources[beside.id].model_copy(update={"superseded": True})
        return beside.name

    def take_over(self, beside: str, name: str) -> str:
        """Rename both."""
        self._call("take_over", name)
        with self._mutex:
            new, old = (self.resources.pop(ResourceId(kind=Kind.CONTAINER, name=one), None) for one in (beside, name))
            if old is not None:
                aside = old.actual.model_copy(update={"name": name + _ASIDE})
                self.resources[aside.id] = old.model_copy(update={"actual": aside, "superseded": True})
            assert new is not None
            actual = new.actual.model_copy(update={"name": name})
            self.resources[actual.id] = new.model_copy(
                update={"actual": actual, "declared": actual, "superseded": False}
            )
        return name + _ASIDE if old else ""

    def drain(self, name: str) -> None:
        """Nobody is connected."""
        self._call("drain", name)

    def start_attached(self, name: str, *, stdin: bool = True, detach_keys: bytes = b"\x10\x11") -> int | None:
        """It ends at once."""
        self.start(name)
        self._set(name, state=State.EXITED, health=Health.NONE, pid=None, exit_code=0)
        return 0

    @property
    def image_verbs(self) -> FakeImageVerbs:
        """Over ``local_images``."""
        return FakeImageVerbs(self)

    def close(self) -> None:
        """Nothing is held."""


def _digest(name: str) -> str:
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()
