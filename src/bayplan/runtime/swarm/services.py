"""Services observed, made, changed, taken back and removed."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from bayplan.errors import NotFoundError, RuntimeFailureError
from bayplan.models import ImageReference, labels
from bayplan.models.swarm import Service
from bayplan.runtime.engine_api.client import told
from bayplan.runtime.engine_api.images.remote import credentials, header
from bayplan.runtime.protocol import Observed, State, Status
from bayplan.runtime.swarm import spec
from bayplan.runtime.swarm.cluster import Cluster, Entry, Names, absent, owned, owner, plain
from bayplan.runtime.swarm.declared import from_text, to_text
from bayplan.runtime.swarm.spec.joint import same_image
from bayplan.runtime.swarm.tasks import reasons

_POLL_S = 0.3
_REMOVAL = timedelta(seconds=60)
PAUSED = frozenset({"paused", "rollback_paused"})


class Services:
    """The services of a swarm. Safe to use from many threads for different ones."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def observe(self, names: Names, wanted: Callable[[str, str], bool]) -> Iterator[Observed]:
        """Those of which ``wanted`` (name, project) is true."""
        for found in self.cluster.services():
            project, _ = owner(found["Spec"].get("Labels"))
            if wanted(found["Spec"]["Name"], project):
                yield self._observed(found, names)

    def _observed(self, found: Entry, names: Names) -> Observed:
        marks = found["Spec"].get("Labels") or {}
        declared = from_text(Service, marks.get(labels.DECLARATION))
        project, managed = owner(marks)
        counts = found.get("ServiceStatus") or {}
        runs, should = counts.get("RunningTasks") or 0, counts.get("DesiredTasks") or 0
        update = found.get("UpdateStatus") or {}
        whole = runs >= should and update.get("State") not in ("updating", "rollback_started")
        notes: tuple[str, ...] = ()
        if runs < should:
            why = reasons(self.cluster.tasks(found["ID"]))
            notes = (f"{runs} of {should} tasks run{': ' if why else ''}{'; '.join(why)}",)
        defects = {}
        if update.get("State") in PAUSED:
            defects[f"its last change stopped half-way: {update.get('Message') or update['State']}"] = "in-place"
        actual = _model(found["Spec"], names, declared, project)
        return Observed(
            actual=actual,
            # What `docker stack deploy` made is all that its file said.
            declared=declared or (actual if project else None),
            status=Status(state=State.RUNNING if whole else State.RESTARTING, ports=_ports(found)),
            handle=found["ID"],
            image_digest=found["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].partition("@")[2],
            project=project,
            managed=managed,
            defects=defects,
            notes=notes,
        )

    def get(self, name: str) -> Entry:
        """One as the API has it. Raises NotFoundError."""
        found = self.cluster.service(name)
        if found is None:
            raise NotFoundError(f"service {name} is not in the swarm")
        return found

    def create(self, service: Service, project: str) -> None:
        """Give it to the swarm, which starts its tasks."""
        body = spec.write(service, self.cluster.names(), {"Name": service.name, "TaskTemplate": {"ContainerSpec": {}}})
        body["Labels"] = _labels(service, project)
        with told(str(service.id)):
            self.cluster.client.call("POST", "/services/create", body=body, headers=_credentials(service))

    def update(self, service: Service, fields: Sequence[str], project: str) -> None:
        """Change the named fields, and record the declaration; the swarm rolls it over the tasks."""
        names = self.cluster.names()

        def change(found: Entry) -> None:
            # How it is updated goes along, so that this very change is rolled as it is declared.
            body = spec.write(service, names, copy.deepcopy(found["Spec"]), {*fields, "update", "rollback"})
            body["Labels"] = _labels(service, project)
            self._put(found, body, _credentials(service))

        self.cluster.change(str(service.id), lambda: self.cluster.service(service.name), change)

    def resume(self, name: str) -> None:
        """Let an update go on that was paused by failing tasks: the same again, as `docker service update` does."""
        self.cluster.change(
            f"service {name}", lambda: self.cluster.service(name), lambda found: self._put(found, found["Spec"], {})
        )

    def rollback(self, name: str) -> None:
        """Back to what it was before its last change."""

        def change(found: Entry) -> None:
            if not found.get("PreviousSpec"):
                raise RuntimeFailureError("it was never changed: there is nothing to go back to", where=name)
            self._put(found, found["Spec"], {}, back=True)

        self.cluster.change(f"service {name}", lambda: self.cluster.service(name), change)

    def _put(self, found: Entry, body: Mapping[str, Any], headers: Mapping[str, str], *, back: bool = False) -> None:
        """Without credentials of the caller's own, those that the swarm has stay."""
        query: dict[str, Any] = {"version": found["Version"]["Index"]}
        if back:
            query |= {"rollback": "previous", "registryAuthFrom": "previous-spec"}
        elif not headers:
            query["registryAuthFrom"] = "spec"
        path = f"/services/{found['ID']}/update"
        self.cluster.client.call("POST", path, body=body, query=query, headers=headers)

    def delete(self, name: str) -> None:
        """Remove it, and wait until its tasks have ended: they hold networks, ports and volumes."""
        found = self.cluster.service(name)
        if found is None:
            return
        grace = found["Spec"]["TaskTemplate"]["ContainerSpec"].get("StopGracePeriod") or 10 * 10**9
        absent(lambda: self.cluster.client.call("DELETE", f"/services/{found['ID']}"), f"service {name}")
        end = time.monotonic() + (timedelta(microseconds=grace / 1000) + _REMOVAL).total_seconds()
        while left := self._left(found["ID"]):
            if time.monotonic() > end:
                # A task of a node that is away is ended when the node comes back: nobody can wait for that.
                raise RuntimeFailureError(f"{len(left)} of its tasks have not ended", where=f"service {name}")
            time.sleep(_POLL_S)

    def _left(self, service_id: str) -> list[Entry]:
        """Its tasks, but for those of nodes that are away."""
        away = {node["ID"] for node in self.cluster.nodes() if node["Status"]["State"] != "ready"}
        return [one for one in self.cluster.tasks_left(service_id) if one.get("NodeID") not in away]


def _model(found: Mapping[str, Any], names: Names, declared: Service | None, project: str) -> Service:
    """The specification as a service, in the declaration's own words where they mean the same."""
    marks = found.get("Labels") or {}
    read = spec.read(found, names)
    image = marks.get(labels.STACK_IMAGE, "")
    if same_image(image, read["image"], read.get("digest")):
        read["image"] = image
        if "@" in image:
            read["digest"] = None if declared is None else declared.digest
    name = str(found["Name"])
    key = declared.service if declared else name.removeprefix(f"{project}_") if project else ""
    depends_on = declared.depends_on if declared else ()
    return Service(name=name, service=key, labels=plain(marks), depends_on=depends_on, **read)


def _labels(service: Service, project: str) -> dict[str, str]:
    record = {labels.STACK_IMAGE: service.image, labels.DECLARATION: to_text(service)}
    return owned(service.labels, project, **record)


def _credentials(service: Service) -> dict[str, str]:
    """What nodes pull the image with, in a header that the swarm keeps; empty for nobody."""
    reference = ImageReference.parse(service.image)
    return header(reference) if credentials(reference) else {}


def _ports(found: Entry) -> tuple[str, ...]:
    ports = (found.get("Endpoint") or {}).get("Ports") or ()
    return tuple(
        f"*:{one['PublishedPort']}->{one['TargetPort']}/{one.get('Protocol', 'tcp')}"
        for one in ports
        if one.get("PublishedPort")
    )
