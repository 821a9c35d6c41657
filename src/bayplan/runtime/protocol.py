"""What a host can do for the rooms above: the one interface that every engine implements.

Glossary, in order of dependency:

    resource    a declared model (``bayplan.models``): image, network, volume, container ...
    observed    the same model as it is found on the host now, with a status; ``declared`` is what was last applied
    scope       which resources a plan may touch: a project's, or ones that are named
    facts       what this engine on this host can and cannot do
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from pydantic import Field, SecretBytes, SerializeAsAny

from bayplan.models import Container, Duration, Holder, Image, Kind, Model, Network, Resource, ResourceId, Volume
from bayplan.runtime.verbs import Verbs
from bayplan.values import frozen

if TYPE_CHECKING:
    from bayplan.runtime.images import ImageVerbs


class State(StrEnum):
    """What a container is doing."""

    INCOMPLETE = "incomplete"
    """An interrupted change left it half made; the next apply removes it or makes it anew."""
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    EXITED = "exited"
    RESTARTING = "restarting"
    """Ended; by its restart policy it is about to be started again, and no apply is needed for that."""
    READY = "ready"
    """Networks, volumes and images: whole and usable."""
    DEFECT = "defect"
    """Recorded, but a part of it is missing in the kernel or on disk; ``Observed.defects`` says what."""


LIVE = frozenset({State.RUNNING, State.PAUSED, State.RESTARTING})
"""States of a container that somebody may be using."""


class Health(StrEnum):
    """Outcome of the health checks so far."""

    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class Status(Model):
    """The live side of an observed resource."""

    state: State
    health: Health = Health.NONE
    pid: int | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    on_request: bool = False
    """An ended one: it was stopped by a change or a verb, and did not end by itself."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    restarts: int = 0
    addresses: Mapping[str, str] = Field(default_factory=dict)
    """Network name to IPv4 address, or to IPv6 address where a network has no IPv4."""
    addresses_v6: Mapping[str, str] = Field(default_factory=dict)
    """Network name to IPv6 address, of networks that have IPv6."""
    ports: tuple[str, ...] = ()
    """Published ports as they are, also those that the host chose: ``ADDRESS:PORT->TARGET/PROTOCOL``."""
    path: str = ""
    """Where the content of a volume lies on the host; empty where the engine does not say."""


class Observed(Holder):
    """One resource as it is on the host.

    ``actual`` is what the kernel and the disk show, ``declared`` what was last applied (None when it was not made by
    us). ``defects`` are sentences that name what is missing; each is healed by the action in its key: ``in-place``
    (``Runtime.heal``), ``restart`` or ``re-create``. ``image_digest`` is that of the image a container was made from.
    """

    actual: Container | Network | Volume | Image | SerializeAsAny[Resource]
    declared: Container | Network | Volume | Image | SerializeAsAny[Resource] | None = None
    status: Status
    handle: str = ""
    """The engine's own identifier (container id)."""
    image_digest: str = ""
    project: str = ""
    managed: bool = True
    superseded: bool = False
    """A container that an interrupted replacement left beside its successor, or its predecessor."""
    defects: Mapping[str, str] = Field(default_factory=dict)
    """Sentence to way of change (a value of ``Change``)."""
    alike: frozenset[str] = frozenset()
    """Fields that are declared otherwise and mean the same here: of those ``Runtime.aligned`` was asked about."""
    notes: tuple[str, ...] = ()
    """Sentences on what is less than it could be, which only the user can mend: no reason for a change."""

    @property
    def id(self) -> ResourceId:
        """Kind and name."""
        return self.actual.id


class Scope(Model):
    """Which resources an observation covers. A project's own, and any that are named."""

    project: str | None = None
    names: tuple[ResourceId, ...] = ()
    presence: bool = False
    """Only what there is and whether it runs, as a removal wants it: an engine need not look for drift within."""


class ImageOrigin(StrEnum):
    """Where a resolved image comes from."""

    LOCAL = "local"
    REGISTRY = "registry"
    BUILD = "build"


class ResolvedImage(Model):
    """What a declared image stands for right now; found by reading only.

    ``digest`` is that of the platform's manifest, or ``fingerprint:<hex>`` for a build that has yet to run.
    ``present`` says whether the host already has it whole and under this name; one that is not, and is ``LOCAL``, lacks
    the name alone. ``size_bytes`` is what a pull would transfer (0: unknown).
    """

    name: str
    digest: str
    present: bool
    origin: ImageOrigin
    size_bytes: int = 0
    why: str = ""
    volumes: tuple[str, ...] | None = None
    """Paths at which the image asks for a volume; None while nobody knows."""
    exposed: tuple[str, ...] = ()
    """Ports that the image exposes, as far as they are known."""
    bases: tuple[str, ...] | None = Field(None, exclude=True)
    """Full names of the images that a build begins with or copies from; None when that is not known yet."""
    pinned: Image | None = Field(None, exclude=True)
    """The same declaration with what moves held still (commits of Git repositories); None when nothing does."""


class Facts(Model):
    """What this engine on this host is and can do."""

    engine: str
    version: str
    host: str
    in_place: frozenset[str] = Field(default_factory=frozenset)
    """Container fields that can be changed on a running container; a part of one has a dot (``resources.memory``)."""
    resets: frozenset[str] = Field(default_factory=frozenset)
    """Those parts of fields that can be set back to their default on it as well."""
    rejoins_with_mac: bool = True
    """Whether a running container that comes back on a network has the MAC address there that is declared."""
    keeps_images: bool = True
    """Whether images are fetched when it is asked to. The nodes of a swarm fetch theirs when a task comes to them."""
    unsupported: Mapping[str, str] = Field(default_factory=dict)
    """Option (``container.resources.memory``) to the reason why this host cannot honour it."""
    network_notes: Callable[[], tuple[str, ...]] = Field(tuple, exclude=True, repr=False)
    """What this host does to a new network that has a way out, as notes of ``Observed``; looked at when one is made."""
    kernel: Mapping[str, str] = Field(default_factory=dict)
    """What of the engine's host programs can notice: kernel release, architecture, version of cgroups, LSM."""
    key: SecretBytes = Field(SecretBytes(b""), exclude=True, repr=False)
    """Key of the fingerprints of secrets on this host; empty while there are none."""


@frozen
class Progress:
    """One report of long work: a label that stays the same for one bar, and how far it is."""

    label: str
    done: int = 0
    total: int = 0
    unit: str = "bytes"
    message: str = ""


STAYS = "stays"
"""A condition of ``Runtime.wait``."""
Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Report nothing."""


def never() -> bool:
    """Nobody asks to stop."""
    return False


@frozen
class LogLine:
    """A line a container wrote; ``text`` without its newline."""

    time: datetime
    stream: str
    text: str
    container: str = ""


@frozen
class ExecResult:
    """A command run in a container: its exit code and, when captured, what it wrote."""

    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""


@frozen
class Snapshot:
    """Everything observed at one time in one scope."""

    resources: Mapping[ResourceId, Observed] = field(default_factory=dict)

    def get(self, wanted: ResourceId) -> Observed | None:
        """The resource of that kind and name, if it is there."""
        return self.resources.get(wanted)

    def of(self, kind: Kind) -> Iterator[Observed]:
        """The resources of one kind."""
        return (item for item in self.resources.values() if item.actual.kind is kind)


class Runtime(Verbs, Protocol):
    """One engine on one host. Every method may raise errors of ``bayplan.errors``; all verbs are idempotent."""

    def facts(self) -> Facts:
        """What this engine on this host is and can do."""

    def lock(self, purpose: str, timeout: Duration | None = None) -> AbstractContextManager[None]:
        """Hold the host for a change. Raises BusyError naming the holder when ``timeout`` passes (None waits on)."""

    def observe(self, scope: Scope) -> Snapshot:
        """Everything in the scope as it is now. Reads only."""

    def aligned(self, desired: Resource, observed: Observed) -> Observed:
        """The observed resource with the desired spelling of every field that means the same to this engine.

        An engine that nobody told a declaration shows only what came of it, its own defaults among that. One that shows
        declarations names fields of which the same would come in ``alike``: they are recorded, and nothing happens.
        Reads only.
        """

    def resolve(self, image: Image) -> ResolvedImage:
        """What the image stands for, by its pull policy. Reads only. Raises NotFoundError for one that is nowhere."""

    def check(self, resources: Sequence[Resource], project: str, *, removing: Collection[ResourceId] = ()) -> None:
        """Refuse what cannot work on this host, before any change. What ``removing`` hold counts as free.

        Raises ConflictError (port taken, subnet overlaps a route, no address left, name held by somebody else, a
        volume to remove is in use), NotFoundError (bind source missing, external network absent) or UnsupportedError,
        naming resource, option and owner. Reads only.
        """

    def create(self, resource: Resource, *, project: str, digest: str = "", report: Report = silent) -> None:
        """Make a resource that is not there; an image is pulled at ``digest`` or built.

        A container is made from the image of ``digest`` and not started. What an interrupted create left is replaced.
        """

    def prepare(self, container: Container, *, digest: str = "", report: Report = silent) -> None:
        """Do what a create of the container needs and can fail at (unpacking), while its predecessor still runs."""

    def update(self, resource: Resource, fields: Sequence[str], *, project: str) -> None:
        """Change the named fields of an existing resource in place and record the declaration."""

    def heal(self, target: ResourceId) -> None:
        """Mend ``in-place`` defects: rules, links and addresses of what is running stay as they were recorded."""

    def delete(self, target: ResourceId, *, image_too: bool = False) -> None:
        """Remove a resource and all it holds. Absent is no error. A running container is stopped first."""

    def start(self, name: str) -> None:
        """Start a created or ended container. A running one is no error."""

    def stop(self, name: str, grace: Duration | None = None) -> None:
        """Ask it to end by its stop signal, SIGKILL after the grace period. An ended one is no error."""

    def supersede(self, name: str) -> str:
        """Set a container aside for its successor: it is stopped, frees name, ports and addresses, keeps its data.

        Returns the name under which it now waits; ``restore`` brings it back, ``delete`` removes it.
        """

    def restore(self, aside: str, name: str) -> None:
        """Give a container that was set aside its name and endpoints back and start it if it ran."""

    def create_beside(self, container: Container, *, project: str, digest: str = "", report: Report = silent) -> str:
        """Make a successor beside the container of its name, and do not start it; the name that it has until then.

        It publishes nothing until ``take_over``. One that a kill leaves is ``superseded``.
        """

    def take_over(self, beside: str, name: str) -> str:
        """Give a successor that runs the name and published ports of its predecessor, which runs on aside.

        At no moment does a port lead nowhere: new connections go to the successor, those that were begun stay.
        Returns the predecessor's new name, empty when there was none.
        """

    def drain(self, name: str) -> None:
        """Let connections that a container has come to their end, for as long as its stop grace at most."""

    def wait(self, name: str, condition: str, timeout: Duration, *, stopped: Callable[[], bool] = never) -> Status:
        """Wait until the container is running, healthy, or ended (values of ``Condition``); a service: until all run.

        ``STAYS``: look at a running one until the time has passed, and fail if it ends or turns unhealthy meanwhile.

        Fails fast: RuntimeFailureError with the last log lines when it ends or turns unhealthy meanwhile, or when the
        time has passed. StoppedError when ``stopped`` says so.
        """

    def logs(
        self,
        name: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[LogLine]:
        """What the container (the tasks of the service) wrote, oldest first."""

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
        """Run a command in a running container. Not captured, it has the caller's own standard streams.

        Exit code 127: there is no such command; 126: it cannot be run. ``detach`` does not wait for its end.
        ``privileged``: with every capability that the host can give. ``detach_keys``, typed on its terminal, leave it
        running: the exit code is 0 then.
        """

    def containers_there(self) -> list[Observed]:
        """Every container this engine has, of whatever project. Raises UnsupportedError where hosts have none."""

    def networks_there(self) -> list[tuple[Observed, tuple[str, ...]]]:
        """Every network this engine has, each with the names of the containers that are on it or declare it."""

    def inspect_network(self, name: str) -> Mapping[str, Any]:
        """All that is known of a network, shaped as `docker network inspect`. Raises NotFoundError."""

    def volumes_there(self) -> list[tuple[Observed, tuple[str, ...]]]:
        """Every volume this engine has, each with the names of the containers that mount it."""

    def export_volume(self, name: str, out: BinaryIO) -> None:
        """Write a volume's content as a tar archive. Raises RuntimeFailureError when it is not whole."""

    def import_volume(self, name: str, source: BinaryIO, *, replace: bool = False) -> None:
        """Fill a volume from a tar archive, all of it or nothing.

        Raises ConflictError naming the running containers that use it, or for content without ``replace``.
        """

    @property
    def image_verbs(self) -> ImageVerbs:
        """Images as a user handles them by name."""

    def close(self) -> None:
        """Free sockets and files."""
