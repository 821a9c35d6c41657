"""The runtime protocol over a swarm, asked through one of its managers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast

from pydantic import SecretBytes

from bayplan.errors import UnsupportedError
from bayplan.models import Duration, Image, Kind, Resource, ResourceId, Settings
from bayplan.models.swarm import Config, OverlayNetwork, Service, SwarmNode
from bayplan.runtime.engine_api.client import connect
from bayplan.runtime.images import ImageVerbs
from bayplan.runtime.protocol import (
    Facts,
    LogLine,
    Observed,
    Report,
    ResolvedImage,
    Scope,
    Snapshot,
    Status,
    never,
    silent,
)
from bayplan.runtime.swarm import checks, logs
from bayplan.runtime.swarm.cluster import Cluster
from bayplan.runtime.swarm.images import Images, ImagesOfNodes
from bayplan.runtime.swarm.kept import Kept
from bayplan.runtime.swarm.networks import Networks
from bayplan.runtime.swarm.nodes import Nodes
from bayplan.runtime.swarm.one_host import OfOneHost
from bayplan.runtime.swarm.services import Services
from bayplan.runtime.swarm.settling import Settling
from bayplan.system.files import locked

_LISTS = 4


class SwarmRuntime(OfOneHost):
    """Services, overlay networks, secrets, configs and nodes of the swarm that the settings' engine is a manager of.

    Several clients may change one swarm: each change names the version that it is made on, and is made anew on a
    newer one. The lock keeps the clients of this host apart.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client = connect(settings, "docker")
        self.cluster = Cluster(self.client)
        self.services, self.networks = Services(self.cluster), Networks(self.cluster)
        self.kept, self.nodes = Kept(self.cluster), Nodes(self.cluster, settings)
        self.images = Images(self.cluster, settings)

    def facts(self) -> Facts:
        """Of the manager, and the key of fingerprints in names."""
        return Facts(
            engine="swarm",
            version=self.client.engine_version,
            host=str(self.cluster.info.get("Name", "")),
            keeps_images=False,
            key=SecretBytes(self.cluster.key),
        )

    @contextmanager
    def lock(self, purpose: str, timeout: Duration | None = None) -> Iterator[None]:
        """flock(2) on one file of the state root: for the clients of this host."""
        with locked(self.settings.lock_file, purpose, None if timeout is None else timeout.total_seconds()):
            yield

    # -- reading -----------------------------------------------------------------------------------------------

    def observe(self, scope: Scope) -> Snapshot:
        """By one list of each kind."""
        found: dict[ResourceId, Observed] = {}
        named = frozenset(scope.names)
        node_names = {item.name for item in named if item.kind is Kind.NODE}
        found |= {item.id: item for item in self.nodes.observe(node_names)}
        if scope.project is None and all(item.kind is Kind.NODE for item in named):
            return Snapshot(found)
        self.cluster.check_manager()
        with ThreadPoolExecutor(_LISTS) as pool:
            kept = pool.submit(lambda: list(self.kept.observe()))
            names = self.cluster.names()
            services = self.services.observe(names, lambda name, of: _wanted(Kind.SERVICE, name, of, scope))
            every = [*self.networks.observe(names.networks), *kept.result(), *services]
        for item in every:
            if _wanted(item.id.kind, item.id.name, item.project, scope):
                found[item.id] = item
        return Snapshot(found)

    def aligned(self, desired: Resource, observed: Observed) -> Observed:
        """Each field has one spelling here."""
        return observed

    def resolve(self, image: Image) -> ResolvedImage:
        """What nodes will pull."""
        self.cluster.check_manager()
        return self.images.resolve(image)

    def check(self, resources: Sequence[Resource], project: str, *, removing: Collection[ResourceId] = ()) -> None:
        """See ``checks``."""
        checks.check(self.cluster, self.kept, self.nodes, resources, removing)

    # -- changing ----------------------------------------------------------------------------------------------

    def create(self, resource: Resource, *, project: str, digest: str = "", report: Report = silent) -> None:
        """Give it to the swarm."""
        match resource:
            case Service():
                self.services.create(resource, project)
            case OverlayNetwork():
                self.networks.create(resource, project)
            case Config():
                self.kept.create(resource, project)
            case SwarmNode():
                self.nodes.create(resource)
            case _:
                raise UnsupportedError(f"a swarm has no {resource.kind.value}s of its own", where=str(resource.id))

    def update(self, resource: Resource, fields: Sequence[str], *, project: str) -> None:
        """Change it in place. Of a network nothing can be changed, what only guides us neither."""
        match resource:
            case Service():
                self.services.update(resource, fields, project)
            case Config():
                self.kept.update(resource, project)
            case SwarmNode():
                self.nodes.update(resource)
            case _:
                pass

    def heal(self, target: ResourceId) -> None:
        """Let a change that stopped half-way go on."""
        if target.kind is Kind.SERVICE:
            self.services.resume(target.name)

    def delete(self, target: ResourceId, *, image_too: bool = False) -> None:
        """Remove it; absent is no error."""
        match target.kind:
            case Kind.SERVICE:
                self.services.delete(target.name)
            case Kind.NETWORK:
                self.networks.delete(target.name)
            case Kind.SECRET | Kind.CONFIG:
                self.kept.delete(target)
            case Kind.NODE:
                self.nodes.delete(target.name)
            case _:
                raise UnsupportedError(f"a swarm has no {target.kind.value}s of its own", where=str(target))

    def rollback(self, name: str, timeout: Duration, *, stopped: Callable[[], bool] = never) -> None:
        """Bring a service back to what it was before its last change, and wait until that runs."""
        self.services.rollback(name)
        Settling(self.services, name, timeout, stopped, taken_back=True).run()

    def wait(self, name: str, condition: str, timeout: Duration, *, stopped: Callable[[], bool] = never) -> Status:
        """Wait until all tasks of a service run (and are healthy: the swarm counts no others)."""
        return Settling(self.services, name, timeout, stopped).run()

    # -- looking -----------------------------------------------------------------------------------------------

    def logs(
        self,
        name: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[LogLine]:
        """What the service's tasks wrote, from every node."""
        found = self.services.get(name)
        every = self.cluster.tasks(found["ID"])
        names = {task["ID"]: f"{name}.{task.get('Slot') or task.get('NodeID', '')}" for task in every}
        lines = logs.lines(self.client, found, names, follow=follow, tail=tail, since=since, until=until)
        # Each node sends its own as they come; only of what has ended can the order be told.
        return lines if follow else iter(sorted(lines, key=lambda line: line.time))

    def inspect(self, name: str) -> Mapping[str, Any]:
        """The service as `docker service inspect`."""
        return self.services.get(name)

    def containers_there(self) -> list[Observed]:
        """Refused: a swarm has services, and each node the containers of its tasks."""
        raise UnsupportedError("a swarm has services, not containers", hint="ask a node, with engine: docker")

    def networks_there(self) -> list[tuple[Observed, tuple[str, ...]]]:
        """Overlay networks, with the services that are on them."""
        names = self.cluster.names()
        users: dict[str, list[str]] = {}
        for item in self.services.observe(names, lambda *_: True):
            for one in item.actual.networks if isinstance(item.actual, Service) else ():
                users.setdefault(one.network, []).append(item.id.name)
        overlays = [one for one in names.networks if one.get("Driver") == "overlay"]
        return [(item, tuple(users.get(item.id.name, ()))) for item in self.networks.observe(overlays)]

    def inspect_network(self, name: str) -> Mapping[str, Any]:
        """As `docker network inspect`."""
        return self.networks.inspect(name)

    def volumes_there(self) -> list[tuple[Observed, tuple[str, ...]]]:
        """None: each node has its own."""
        return []

    @property
    def image_verbs(self) -> ImageVerbs:
        """Refused, but for what generations ask: images are their nodes'."""
        return cast(ImageVerbs, ImagesOfNodes())

    def close(self) -> None:
        """Close the connection."""
        self.client.close()


def _wanted(kind: Kind, name: str, project: str, scope: Scope) -> bool:
    return ResourceId(kind=kind, name=name) in scope.names or (scope.project is not None and project == scope.project)
