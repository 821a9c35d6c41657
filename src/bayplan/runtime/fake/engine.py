"""The runtime protocol over a dictionary, with switches for the failures that tests want to see."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any, BinaryIO

from pydantic import SecretBytes

from bayplan.errors import ConflictError, NotFoundError, RuntimeFailureError
from bayplan.models import (
    Container,
    Duration,
    Endpoint,
    Image,
    Kind,
    Network,
    Resource,
    ResourceId,
    Stack,
    Volume,
)
from bayplan.runtime.fake.images import FakeImageVerbs
from bayplan.runtime.protocol import (
    ExecResult,
    Facts,
    Health,
    ImageOrigin,
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
from bayplan.runtime.verbs import Finding, Happening
from bayplan.system.process_table import ProcessRow
from bayplan.system.usage import Usage

IN_PLACE = frozenset(
    (
        *("labels", "ports", "networks", "restart", "healthcheck", "resources", "stop_signal", "stop_grace_period"),
        *("post_start", "pre_stop"),
    )
)
_ASIDE = ".superseded"


@dataclass
class FakeRuntime:
    """An engine in memory. ``fail`` maps a call (``start web``) to the message with which it fails."""

    resources: dict[ResourceId, Observed] = field(default_factory=dict)
    registry: dict[str, str] = field(default_factory=dict)
    """Image name to digest; an image that is not here does not exist. Empty: every image exists."""
    local_images: dict[str, str] = field(default_factory=dict)
    built: dict[str, str] = field(default_factory=dict)
    """Image name to the digest that any build of it gives; one for each declaration when it is not here."""
    fail: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    """Every change asked for, as ``verb name``, in order."""

    def __post_init__(self) -> None:
        self._mutex = threading.RLock()

    def facts(self) -> Facts:
        """In-place changes as the native core does them."""
        return Facts(engine="fake", version="1", host="memory", in_place=IN_PLACE, key=SecretBytes(b"fake"))

    @contextmanager
    def lock(self, purpose: str, timeout: Duration | None = None) -> Iterator[None]:
        """Nobody else is there."""
        yield

    def observe(self, scope: Scope) -> Snapshot:
        """What was made before, within the scope."""
        with self._mutex:
            return Snapshot(
                {
                    key: item
                    for key, item in self.resources.items()
                    if key in scope.names or (scope.project is not None and item.project == scope.project)
                }
                | {key: self._image(key.name) for key in scope.names if self._has_image(key)}
            )

    def resolve(self, image: Image) -> ResolvedImage:
        """By name: a digest of the name, or what ``registry`` says."""
        if image.build is not None:
            made = "fingerprint:" + hashlib.sha256(image.build.model_dump_json().encode()).hexdigest()
            digest = self.local_images.get(made)
            present = digest is not None and self.local_images.get(image.name) == digest
            return ResolvedImage(name=image.name, digest=digest or made, present=present, origin=ImageOrigin.BUILD)
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

    def kill(self, name: str, signal: str = "SIGKILL") -> None:
        """Mark it ended by the signal."""
        self._call("kill", name)
        self._set(name, state=State.EXITED, health=Health.NONE, pid=None, exit_code=137)

    def pause(self, name: str) -> None:
        """Mark it paused."""
        self._call("pause", name)
        self._set(name, state=State.PAUSED)

    def unpause(self, name: str) -> None:
        """Mark it running."""
        self._call("unpause", name)
        self._set(name, state=State.RUNNING)

    def rename(self, name: str, new_name: str) -> None:
        """Give it another name."""
        self._call("rename", name)
        with self._mutex:
            held = self.resources.pop(ResourceId(kind=Kind.CONTAINER, name=name))
            actual = held.actual.model_copy(update={"name": new_name})
            self.resources[actual.id] = held.model_copy(update={"actual": actual, "declared": actual})

    def connect(self, name: str, endpoint: Endpoint) -> None:
        """Put it on a network."""
        self._call("connect", name)
        self._place(name, lambda held: (*held, endpoint))

    def disconnect(self, name: str, network: str, *, force: bool = False) -> None:
        """Take it off a network."""
        self._call("disconnect", name)
        self._place(name, lambda held: tuple(one for one in held if one.network != network))

    def _place(self, name: str, change: Callable[[tuple[Endpoint, ...]], tuple[Endpoint, ...]]) -> None:
        with self._mutex:
            key = ResourceId(kind=Kind.CONTAINER, name=name)
            held = self.resources[key]
            assert isinstance(held.actual, Container)
            actual = held.actual.model_copy(update={"networks": change(held.actual.networks)})
            self.resources[key] = held.model_copy(update={"actual": actual})

    def await_end(self, name: str, *, stopped: Callable[[], bool] | None = None) -> int:
        """It has ended."""
        self._call("wait", name, record=False)
        return self.resources[ResourceId(kind=Kind.CONTAINER, name=name)].status.exit_code or 0

    def processes(self, name: str) -> Sequence[ProcessRow]:
        """Nothing runs here."""
        return ()

    def usage(self, name: str) -> Usage:
        """Nothing is used."""
        return Usage()

    def inspect(self, name: str) -> Mapping[str, Any]:
        """Its name and state."""
        held = self.resources[ResourceId(kind=Kind.CONTAINER, name=name)]
        return {"Id": held.handle, "Name": f"/{name}", "State": {"Status": held.status.state.value}}

    def attach(
        self, name: str, *, stdin: bool = True, detach_keys: bytes = b"\x10\x11", sig_proxy: bool = True
    ) -> int | None:
        """It ends at once."""
        return 0

    def start_attached(self, name: str, *, stdin: bool = True, detach_keys: bytes = b"\x10\x11") -> int | None:
        """It ends at once."""
        self.start(name)
        self._set(name, state=State.EXITED, health=Health.NONE, pid=None, exit_code=0)
        return 0

    def copy_out(self, name: str, path: str, target: str | None, sink: IO[bytes], *, follow: bool = False) -> None:
        """There are no files here."""
        raise NotFoundError(f"{path} does not exist")

    def copy_in(self, name: str, source: str | None, path: str, stream: IO[bytes], *, follow: bool = False) -> None:
        """There are no files here."""
        raise NotFoundError(f"{path} does not exist")

    def wait(self, name: str, condition: str, timeout: Duration, *, stopped: Callable[[], bool] = never) -> Status:
        """Everything here is at once what it should be."""
        self._call("wait", name, record=False)
        return self.resources[ResourceId(kind=Kind.CONTAINER, name=name)].status

    def logs(
        self,
        name: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[LogLine]:
        """Nothing was written."""
        return iter(())

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
        """Pretend success."""
        self._call("exec", name)
        return ExecResult(0)

    def networks_there(self) -> list[tuple[Observed, tuple[str, ...]]]:
        """Those that were made, each with the containers that declare it."""
        kept = [item.actual for item in self.resources.values() if isinstance(item.actual, Container)]
        return [
            (item, tuple(one.name for one in kept if item.id.name in [place.network for place in one.networks]))
            for item in self.resources.values()
            if item.actual.kind is Kind.NETWORK
        ]

    def inspect_network(self, name: str) -> Mapping[str, Any]:
        """Its name: there is no more to it."""
        return {"Name": name}

    def volumes_there(self) -> list[tuple[Observed, tuple[str, ...]]]:
        """Those that were made; who mounts them is not kept."""
        return [(item, ()) for item in self.resources.values() if item.actual.kind is Kind.VOLUME]

    def export_volume(self, name: str, out: BinaryIO) -> None:
        """There is no content."""
        self._call("export", name)

    def import_volume(self, name: str, source: BinaryIO, *, replace: bool = False) -> None:
        """Forget the content."""
        self._call("import", name)

    @property
    def image_verbs(self) -> FakeImageVerbs:
        """Over ``local_images``."""
        return FakeImageVerbs(self)

    def close(self) -> None:
        """Nothing is held."""

    # -- for tests ---------------------------------------------------------------------------------------------

    def matches(self, stack: Stack) -> bool:
        """Whether every declared container runs as declared."""
        found = [self.resources.get(item.id) for item in stack.containers]
        return all(
            held is not None and held.actual == item and held.status.state is State.RUNNING
            for held, item in zip(found, stack.containers, strict=True)
        )

    def damaged(self) -> Sequence[Finding]:
        """Memory does not rot."""
        return ()

    def happened(self) -> Sequence[Happening]:
        """Nothing is kept."""
        return ()

    def _has_image(self, key: ResourceId) -> bool:
        return key.kind is Kind.IMAGE and key.name in self.local_images

    def _image(self, name: str) -> Observed:
        image = Image(name=name)
        status = Status(state=State.READY)
        return Observed(actual=image, declared=image, status=status, image_digest=self.local_images[name])

    def _set(self, name: str, **status: object) -> None:
        with self._mutex:
            key = ResourceId(kind=Kind.CONTAINER, name=name)
            held = self.resources[key]
            self.resources[key] = held.model_copy(update={"status": held.status.model_copy(update=status)})

    def _call(self, verb: str, name: str, *, record: bool = True) -> None:
        with self._mutex:
            if record:
                self.calls.append(f"{verb} {name}")
            message = self.fail.get(f"{verb} {name}")
        if message:
            raise RuntimeFailureError(message, where=name)


def _digest(name: str) -> str:
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()
