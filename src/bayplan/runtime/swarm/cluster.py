"""What a swarm has, by kind: its lists, and names to ids and back."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from bayplan.errors import BayplanError, ConflictError, NotFoundError, RuntimeFailureError, UnsupportedError
from bayplan.models import labels
from bayplan.runtime.engine_api.answers import AbsentError
from bayplan.runtime.engine_api.client import EngineClient, told

Entry = dict[str, Any]
Filters = Mapping[str, Sequence[str]]
_T = TypeVar("_T")
_PATIENCE_S, _POLL_S = 60.0, 0.5
_ELECTING = ("lost leader status", "does not have a leader", "raft memberlist", "raft: ", "transport is closing")
"""SwarmKit's words while managers come, go and choose a leader."""
_ALIVE = frozenset({"assigned", "accepted", "preparing", "ready", "starting", "running"})
_MOVED = "update out of sequence"
"""SwarmKit's words for a version that is not the newest one."""


class Cluster:
    """One swarm through one of its managers. Safe to use from many threads."""

    def __init__(self, client: EngineClient) -> None:
        self.client = client
        self._info: Entry | None = None
        self._lock = threading.Lock()

    @property
    def info(self) -> Entry:
        """What the engine says of itself, asked once."""
        with self._lock:
            if self._info is None:
                with told(f"docker at {self.client.place.address}"):
                    self._info = self.client.call("GET", "/info")
            return self._info

    def forget(self) -> None:
        """Ask anew what the engine says of itself: it has joined or left."""
        with self._lock:
            self._info = None

    @property
    def state(self) -> str:
        """``inactive``, ``pending``, ``active``, ``error`` or ``locked``."""
        return str((self.info.get("Swarm") or {}).get("LocalNodeState", "inactive"))

    @property
    def is_manager(self) -> bool:
        """Whether this engine can be asked about the swarm."""
        return bool((self.info.get("Swarm") or {}).get("ControlAvailable"))

    @property
    def key(self) -> bytes:
        """Key of the fingerprints in names: of the swarm's id, 125 random bits that managers alone know."""
        found = ((self.info.get("Swarm") or {}).get("Cluster") or {}).get("ID", "")
        return hashlib.sha256(f"bayplan {found}".encode()).digest() if found else b""

    def check_manager(self) -> None:
        """Raise UnsupportedError saying what this engine is instead."""
        if self.is_manager:
            return
        where = self.client.place.address
        if self.state == "inactive":
            raise UnsupportedError(
                "this engine is in no swarm", where=where, hint="declare its nodes: bayplan swarm apply"
            )
        if self.state == "active":
            raise UnsupportedError(
                "this engine is a worker of its swarm", where=where, hint="give the address of a manager"
            )
        why = str((self.info.get("Swarm") or {}).get("Error") or "")
        raise UnsupportedError(
            f"this engine's swarm is {self.state}: {why}".rstrip(": "),
            where=where,
            hint="unlock it: docker swarm unlock" if self.state == "locked" else "look at its log",
        )

    # -- lists -------------------------------------------------------------------------------------------------

    def services(self) -> Sequence[Entry]:
        """Every service, with how many of its tasks run."""
        return self._list("/services", status=True)

    def service(self, name: str) -> Entry | None:
        """One service, with how many of its tasks run."""
        found = self._list("/services", status=True, filters={"name": [name]})
        return next((one for one in found if one["Spec"]["Name"] == name), None)

    def networks(self) -> Sequence[Entry]:
        """Networks of the swarm, and those of this engine."""
        return self._list("/networks")

    def secrets(self) -> Sequence[Entry]:
        """Every secret, without what it holds."""
        return self._list("/secrets")

    def configs(self) -> Sequence[Entry]:
        """Every config."""
        return self._list("/configs")

    def nodes(self) -> Sequence[Entry]:
        """Every node."""
        return self._list("/nodes")

    def tasks(self, service_id: str) -> Sequence[Entry]:
        """Every task of a service that the swarm still knows, also ended ones."""
        return self._list("/tasks", filters={"service": [service_id]})

    def tasks_left(self, service_id: str) -> Sequence[Entry]:
        """Tasks of a service that is gone: the swarm has no filter for these."""
        return [one for one in self._list("/tasks") if one.get("ServiceID") == service_id]

    def tasks_on(self, node_id: str) -> Sequence[Entry]:
        """Tasks of a node that have not ended."""
        found = self._list("/tasks", filters={"node": [node_id]})
        return [one for one in found if one["Status"]["State"] in _ALIVE]

    def _list(self, path: str, *, filters: Filters | None = None, status: bool = False) -> list[Entry]:
        query: dict[str, Any] = {"status": True} if status else {}
        if filters:
            query["filters"] = json.dumps(filters)
        with told(f"docker at {self.client.place.address}"):
            found: list[Entry] | None = self.client.call("GET", path, query=query)
        return found or []

    # -- names -------------------------------------------------------------------------------------------------

    def names(self) -> Names:
        """Names and ids as they are now."""
        return Names(self.networks(), self.secrets(), self.configs())

    def change(self, what: str, look: Callable[[], Entry | None], update: Callable[[Entry], _T]) -> _T:
        """Change what is there; again with what is there then when another client came between.

        While the managers choose a new leader they refuse: that is waited for. Raises NotFoundError when it is gone.
        """
        end = time.monotonic() + _PATIENCE_S
        while True:
            found = look()
            if found is None:
                raise NotFoundError(f"{what} is not in the swarm")
            try:
                with told(what):
                    return update(found)
            except BayplanError as error:
                if time.monotonic() > end or not any(word in error.what for word in (_MOVED, *_ELECTING)):
                    raise
                time.sleep(0 if _MOVED in error.what else _POLL_S)


class Names:
    """Ids to names and back, of one moment."""

    def __init__(self, networks: Sequence[Entry], secrets: Sequence[Entry], configs: Sequence[Entry]) -> None:
        self.networks = networks
        # A name may be there twice: on this engine and in the swarm.
        ordered = sorted(networks, key=lambda one: one.get("Scope") == "swarm")
        self._networks = {one["Name"]: one["Id"] for one in ordered}
        self._network_names: dict[str, str] = {one["Id"]: one["Name"] for one in networks}
        self._secrets = {one["Spec"]["Name"]: one["ID"] for one in secrets}
        self._configs = {one["Spec"]["Name"]: one["ID"] for one in configs}

    def network_id(self, name: str) -> str:
        """Raises NotFoundError."""
        return _known(self._networks, name, "network")

    def network_name(self, network_id: str) -> str:
        """The id itself when nobody knows it."""
        return self._network_names.get(network_id, network_id)

    def secret_id(self, name: str) -> str:
        """Raises NotFoundError."""
        return _known(self._secrets, name, "secret")

    def config_id(self, name: str) -> str:
        """Raises NotFoundError."""
        return _known(self._configs, name, "config")


def _known(found: Mapping[str, str], name: str, kind: str) -> str:
    if name not in found:
        raise NotFoundError(f"{kind} {name} is not in the swarm")
    return str(found[name])


# -- ownership ---------------------------------------------------------------------------------------------------


def owned(given: Mapping[str, str], project: str, **more: str) -> dict[str, str]:
    """Labels of a resource with those that say whose it is."""
    own = {labels.MANAGED: "true", **({labels.STACK: project} if project else {}), **more}
    return {**given, **own}


def plain(found: Mapping[str, str] | None) -> dict[str, str]:
    """Labels as they were declared: without ours, and those of `docker stack`."""
    marks, stack = found or {}, (labels.STACK, labels.STACK_IMAGE)
    return {name: value for name, value in marks.items() if name not in stack and not name.startswith(labels.OWN)}


def owner(found: Mapping[str, str] | None) -> tuple[str, bool]:
    """Project, and whether it may be changed: what a stack has is the stack's, whoever deployed it."""
    marks = found or {}
    project = marks.get(labels.STACK, "")
    return project, bool(project) or labels.MANAGED in marks


def absent(call: Callable[[], object], what: str, *, in_use: str = "") -> None:
    """Do a removal; what is gone already is no error. Raises ConflictError while somebody uses it."""
    try:
        with told(what):
            try:
                call()
            except AbsentError:
                return
    except RuntimeFailureError as error:
        if in_use and in_use in error.what:
            raise ConflictError(error.what, where=what) from error
        raise
