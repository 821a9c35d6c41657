"""The life of one container: made, started, stopped, set aside, brought back, waited for, removed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from bayplan.errors import ConflictError, UnsupportedError
from bayplan.models import Container, Duration, ImageReference, Settings, VolumeMount, labels, with_exposed_ports
from bayplan.runtime import seal, start_first
from bayplan.runtime.engine_api import connecting, grants, hooks, options
from bayplan.runtime.engine_api.answers import AbsentError, AnswerError
from bayplan.runtime.engine_api.client import TIMEOUT_S, told
from bayplan.runtime.engine_api.containers import Containers
from bayplan.runtime.engine_api.images.images import Images
from bayplan.runtime.engine_api.networks import marks
from bayplan.runtime.engine_api.options.limits import limits, policy
from bayplan.runtime.engine_api.options.process import grace_seconds
from bayplan.runtime.engine_api.status import status_of
from bayplan.runtime.protocol import Report, State
from bayplan.runtime.spare import ASIDE, BESIDE, spare_name

_ENDPOINTS_AT_ONCE = (1, 44)


class Lives:
    """Changes containers. Safe to use from many threads for different ones."""

    def __init__(self, containers: Containers, images: Images, settings: Settings, run: hooks.Exec) -> None:
        """``run`` is ``Runtime.exec``, for hooks."""
        self.containers, self.images, self.settings, self.run = containers, images, settings, run
        self.client, self.declarations = containers.client, containers.declarations
        self._ran: dict[str, bool] = {}
        self._aside: dict[str, Mapping[str, Any]] = {}

    def create(self, container: Container, project: str, digest: str, report: Report) -> None:
        """Make it; what an interrupted create left of that name is removed first. Raises ConflictError."""
        earlier = self.containers.inspect(container.name)
        if earlier is not None:
            if not _is_ours(earlier) and self.containers.declared(earlier) is None:
                raise ConflictError(f"{container.id} exists and is not ours", hint="choose another name")
            self.delete(container.name)
        self._complete(
            _with_data_of(container, self._aside.pop(container.name, {})), container.name, project, digest, report
        )

    def create_beside(self, container: Container, project: str, digest: str, report: Report) -> str:
        """Make its successor under a name of its own; what is recorded of it has the other name already."""
        beside = spare_name(container.name, BESIDE, secrets.token_hex(6))
        held = _with_data_of(container, self.containers.inspect(container.name) or {})
        try:
            self._complete(held, beside, project, digest, report)
        except BaseException:
            self.delete(beside)
            raise
        return beside

    def _complete(self, container: Container, name: str, project: str, digest: str, report: Report) -> None:
        image = self.images.image_id(container.image, digest, report)
        container = with_exposed_ports(container, self.containers.bases.config(image).get("ExposedPorts") or ())
        if container.secrets or container.configs:
            container = container.sealed(seal.key(self.settings, make=True))
        container_id = self._make(container, name, project, image)
        later = container.networks[1:] if not self.containers.engine.speaks(_ENDPOINTS_AT_ONCE) else ()
        for endpoint in later:
            connecting.connect(self.client, self.containers.engine, container_id, endpoint)
        if container.secrets or container.configs:
            grants.put(self.client, self.containers.engine, container_id, container)
            self.declarations.note_whole(container_id)

    def _make(self, container: Container, name: str, project: str, image: str) -> str:
        """The create call itself; the new id. An image whose name has moved since the plan is named by its id."""
        config = self.containers.bases.config(image)
        body = options.written(container, self.containers.engine, config, self.containers.table)
        body.config["Labels"] = {**body.config.get("Labels", {}), **marks(container, project)}
        names = (container.image, *(self.containers.bases.get(image).get("RepoTags") or ()))
        body.config["Image"] = container.image if _named(container.image, names[1:]) else image
        first = dict(list(body.endpoints.items())[:1])
        at_once = body.endpoints if self.containers.engine.speaks(_ENDPOINTS_AT_ONCE) else first
        document = {**body.config, "HostConfig": body.host, "NetworkingConfig": {"EndpointsConfig": at_once}}
        with told(str(container.id)):
            made = self.client.call("POST", "/containers/create", body=document, query={"name": name})
        container_id = str(made["Id"])
        if dropped := [text for text in made.get("Warnings") or () if "discarded" in text.lower()]:
            with told(str(container.id)):
                self.client.call("DELETE", f"/containers/{container_id}", query={"force": True})
            raise UnsupportedError(
                f"{self.containers.engine.name}: {dropped[0]}", where=str(container.id), hint="remove the option"
            )
        return container_id

    def update(self, container: Container, fields: Sequence[str], project: str) -> None:
        """Change what can be changed in place, and record the declaration."""
        found = self.containers.get(container.name)
        container_id = str(found["Id"])
        with told(str(container.id)):
            change: dict[str, Any] = {}
            if "resources" in fields:
                change |= limits(container.resources)
                change.setdefault("PidsLimit", 0)
            if "restart" in fields:
                change["RestartPolicy"] = policy(container.restart)
            if change:
                self.client.call("POST", f"/containers/{container_id}/update", body=change)
        if "networks" in fields:
            connecting.reconnect(self.containers, found, container)
        self.declarations.record(container_id, container, project)

    def start(self, name: str) -> None:
        """Start it; a paused one goes on, a running one is no error."""
        found = self.containers.get(name)
        status = status_of(found)
        if status.state is State.RUNNING:
            return
        with told(f"container {name}"):
            if status.state is State.PAUSED:
                self.client.call("POST", f"/containers/{found['Id']}/unpause")
                return
            self.client.call("POST", f"/containers/{found['Id']}/start")
        declared = self.containers.declared(found)
        if declared and declared.post_start:
            hooks.after_start(declared.model_copy(update={"name": name}), self.run, self._kill)

    def stop(self, name: str, grace: Duration | None = None) -> None:
        """Ask it to end by its stop signal; SIGKILL after the grace period."""
        self._stop(self.containers.get(name), grace)

    def _stop(self, found: Mapping[str, Any], grace: Duration | None = None) -> None:
        name, status = str(found["Name"]).lstrip("/"), status_of(found)
        declared = self.containers.declared(found)
        if status.state is State.RUNNING and declared and declared.pre_stop:
            hooks.before_stop(declared.model_copy(update={"name": name}), self.run)
        if grace is None and declared:
            grace = declared.stop_grace_period
        if status.state in (State.CREATED, State.EXITED, State.INCOMPLETE):
            return
        self.declarations.note_stop(str(found["Id"]))
        with told(f"container {name}"):
            # Without a number the engine takes the container's own, and the client must know how long to wait.
            given = (found.get("Config") or {}).get("StopTimeout")
            wait_s = grace_seconds(grace) if grace is not None else given or 10
            path = f"/containers/{found['Id']}/stop"
            self.client.call("POST", path, query={"t": wait_s}, timeout=TIMEOUT_S + wait_s)

    def _rename(self, found: Mapping[str, Any], name: str) -> None:
        self.client.call("POST", f"/containers/{found['Id']}/rename", query={"name": name})

    def _kill(self, name: str) -> None:
        with told(f"container {name}"):
            self.client.call("POST", f"/containers/{name}/kill")

    def supersede(self, name: str) -> str:
        """Rename it, then stop it: from then on its name is free, and it is known for what it is."""
        found = self.containers.inspect(name)
        if found is None:
            return ""
        aside = spare_name(name, ASIDE, str(found["Id"]))
        self._ran[aside] = status_of(found).state in (State.RUNNING, State.RESTARTING, State.PAUSED)
        with told(f"container {name}"):
            self._rename(found, aside)
        self._aside[name] = found
        self._stop({**found, "Name": f"/{aside}"})
        return aside

    def restore(self, aside: str, name: str) -> None:
        """Give it its name back, and start it if it ran."""
        found = self.containers.get(aside)
        self._aside.pop(name, None)
        with told(f"container {name}"):
            self._rename(found, name)
        if self._ran.pop(aside, True):
            self.start(name)

    def take_over(self, beside: str, name: str) -> str:
        """Two renames: a name is one container's. When the second fails, the first is taken back."""
        successor, found = self.containers.get(beside), self.containers.inspect(name)
        aside = spare_name(name, ASIDE, str(found["Id"])) if found else ""
        with told(f"container {name}"):
            if found:
                self._rename(found, aside)
            try:
                self._rename(successor, name)
            except BaseException:
                if found:
                    self._rename(found, name)
                raise
        return aside

    def drain(self, name: str) -> None:
        """Let its connections end; of a container elsewhere nobody knows them."""
        found = self.containers.get(name)
        declared = self.containers.declared(found)
        if self.containers.engine.local and declared is not None:
            start_first.drain(lambda: status_of(self.containers.get(name)).pid, declared.stop_grace_period)

    def delete(self, name: str) -> None:
        """Stop and remove it; absent is no error. Its volumes stay."""
        found = self.containers.inspect(name)
        if found is None:
            return
        self._stop(found)
        with told(f"container {name}"):
            try:
                self.client.call("DELETE", f"/containers/{found['Id']}", query={"force": True})
            except AbsentError:
                pass
            except AnswerError as error:
                if error.status_code != 409:
                    raise
                # Somebody else is removing it already.
                with suppress(AbsentError):
                    path = f"/containers/{found['Id']}/wait"
                    self.client.call("POST", path, query={"condition": "removed"}, timeout=None)
        self.declarations.forget(str(found["Id"]))


def _with_data_of(container: Container, predecessor: Mapping[str, Any]) -> Container:
    """With the volumes that its image asked for in a predecessor that another tool made: they have names of its own."""
    held = {
        mount.get("Destination"): mount["Name"]
        for mount in predecessor.get("Mounts") or ()
        if mount.get("Type") == "volume" and mount.get("Name")
    }
    mounts = tuple(
        mount.model_copy(update={"source": held.get(mount.target, mount.source)})
        if isinstance(mount, VolumeMount) and mount.of_image
        else mount
        for mount in container.mounts
    )
    return container if mounts == container.mounts else container.model_copy(update={"mounts": mounts})


def _is_ours(found: Mapping[str, Any]) -> bool:
    return ((found.get("Config") or {}).get("Labels") or {}).get(labels.MANAGED) == "true"


def _named(reference: str, tags: Sequence[str]) -> bool:
    """Whether the name still stands for the image, so that a container can be made by it."""
    wanted = ImageReference.parse(reference)
    return wanted.digest is not None or str(wanted) in {str(ImageReference.parse(tag)) for tag in tags}
