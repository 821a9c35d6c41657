"""Nodes: the swarm made, joined, changed and left.

Tokens by which nodes join are asked of the manager and given to the joining engine, in the bodies of two requests:
they stand in no argument, log or record.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from bayplan.errors import BayplanError, ConflictError, DeclarationError, RuntimeFailureError, UnavailableError
from bayplan.models import Kind, ResourceId, Settings, labels
from bayplan.models.swarm import SwarmNode
from bayplan.runtime.engine_api.client import connect, told
from bayplan.runtime.protocol import Observed, State, Status
from bayplan.runtime.swarm.cluster import Cluster, Entry, absent, plain
from bayplan.runtime.swarm.declared import from_text, to_text

_PORT = 2377
_POLL_S = 0.3
_JOIN = timedelta(minutes=2)
_GOES_ON = "will continue in the background"
"""What an engine answers when it has not joined within 20 seconds."""
_DRAIN = timedelta(minutes=5)


class Nodes:
    """The nodes of one swarm. ``settings`` name the engine through which it is asked."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self.cluster, self.settings = cluster, settings

    def observe(self, wanted: Collection[str] | None) -> Iterator[Observed]:
        """Nodes of these names (None: all); none while there is no swarm. Raises ConflictError for a name twice."""
        if wanted == set() or self.cluster.state == "inactive":
            return
        self.cluster.check_manager()
        seen: set[str] = set()
        for found in self.cluster.nodes():
            name = _name(found)
            if (wanted is not None and name not in wanted) or _is_gone(found):
                continue
            if name in seen:
                raise ConflictError(
                    f"two nodes of the swarm are called {name}", hint="remove the one that is gone: docker node rm ID"
                )
            seen.add(name)
            yield _observed(found)

    def check(self, nodes: Sequence[SwarmNode], removing: Collection[ResourceId]) -> None:
        """Refuse what cannot join or leave, before any change. Engines that are to join are asked."""
        gone = {item.name for item in removing if item.kind is Kind.NODE}
        if not nodes and not gone:
            return
        there = {_name(found): found for found in self.cluster.nodes()} if self.cluster.is_manager else {}
        managers = {name for name, found in there.items() if found["Spec"]["Role"] == "manager"}
        managers |= {one.name for one in nodes if one.role == "manager"}
        managers -= {one.name for one in nodes if one.role != "manager"}
        if not managers - gone and set(there) - gone | {one.name for one in nodes}:
            raise ConflictError("a swarm needs a manager", hint="declare one with role: manager")
        new = [one for one in nodes if one.name not in there]
        first = None if there else next((one for one in new if one.role == "manager"), None)  # it makes the swarm
        for node in new:
            if node is not first:
                self._check_new(node)
        for name in gone & there.keys():
            self._check_leaving(name, there)

    def _check_new(self, node: SwarmNode) -> None:
        with self._engine(node) as engine:
            if engine.state != "inactive" and not self._is_coming(engine):
                raise ConflictError(
                    f"its engine is in a swarm already ({engine.state})",
                    where=str(node.id),
                    hint="let it leave that one: docker swarm leave",
                )

    def _check_leaving(self, name: str, there: dict[str, Entry]) -> None:
        found = there[name]
        declared = _declared(found)
        if found["Status"]["State"] == "ready" and not self._is_own(found) and not (declared and declared.address):
            raise DeclarationError(
                "nothing is known of where its engine answers, to let it leave",
                where=f"node {name}",
                hint="declare its address and apply, or stop its engine first",
            )
        if self._is_own(found) and len(there) > 1:
            raise ConflictError(
                "this swarm is asked through that node", where=f"node {name}", hint="set engine_address to another"
            )
        if len(there) == 1 and self.cluster.services():
            raise ConflictError("services still run on the last node", where=f"node {name}", hint="bayplan down them")

    # -- changes -----------------------------------------------------------------------------------------------

    def create(self, node: SwarmNode) -> None:
        """Let it join; where there is no swarm, make one. Then give it its labels."""
        if self.cluster.state == "inactive":
            self._init(node)
        else:
            self._join(node)
        end = time.monotonic() + _JOIN.total_seconds()
        while (found := self._find(node.name)) is None or found["Status"]["State"] != "ready":
            if time.monotonic() > end:
                raise UnavailableError("does not come to be ready", where=str(node.id), hint="look at its engine's log")
            time.sleep(_POLL_S)
        self.update(node)

    def _init(self, node: SwarmNode) -> None:
        name = str(self.cluster.info.get("Name", ""))
        if name != node.name or node.role != "manager":
            raise ConflictError(
                f"the engine that is asked ({name}) is in no swarm", where=str(node.id), hint="declare it as a manager"
            )
        body = {"ListenAddr": f"0.0.0.0:{_PORT}", "ForceNewCluster": False, "Spec": {}}
        with told(str(node.id)):
            self.cluster.client.call("POST", "/swarm/init", body={**body, "AdvertiseAddr": node.advertise or ""})
        self.cluster.forget()

    def _join(self, node: SwarmNode) -> None:
        with told("swarm"):
            tokens = self.cluster.client.call("GET", "/swarm")["JoinTokens"]
        body = {
            "ListenAddr": f"0.0.0.0:{_PORT}",
            "AdvertiseAddr": node.advertise or "",
            "RemoteAddrs": self._managers(),
            "JoinToken": tokens["Manager" if node.role == "manager" else "Worker"],
            "Availability": node.availability,
        }
        with self._engine(node) as engine:
            if self._is_coming(engine):
                return
            try:
                with told(str(node.id)):
                    engine.client.call("POST", "/swarm/join", body=body)
            except UnavailableError as error:
                if _GOES_ON not in error.what:
                    raise

    def _managers(self) -> list[str]:
        return [one["ManagerStatus"]["Addr"] for one in self.cluster.nodes() if _is_reachable(one)]

    def _is_coming(self, engine: Cluster) -> bool:
        """Whether an engine is on its way into this very swarm: asked earlier, and held up."""
        asked = {one["Addr"] for one in engine.info["Swarm"].get("RemoteManagers") or ()}
        return engine.state == "pending" and bool(asked) and asked <= set(self._managers())

    def update(self, node: SwarmNode) -> None:
        """Change role, availability and labels, and record the declaration."""

        def change(found: Entry) -> None:
            marks = {**node.labels, labels.DECLARATION: to_text(node)}
            body = {**found["Spec"], "Role": node.role, "Availability": node.availability, "Labels": marks}
            self._put(found, body)

        self.cluster.change(str(node.id), lambda: self._find(node.name), change)
        self._await(node.name, lambda found: _has_role(found, node.role), _JOIN, f"does not come to be a {node.role}")

    def delete(self, name: str) -> None:
        """Empty it, let its engine leave, and strike it off. One that is down is struck off at once."""
        found = self._find(name)
        if found is None:
            return
        if len(self.cluster.nodes()) == 1:
            with told(f"node {name}"):
                self.cluster.client.call("POST", "/swarm/leave", query={"force": True})
            self.cluster.forget()
            return
        if found["Status"]["State"] == "ready":
            self._empty(name)
            declared = _declared(found)
            assert declared is not None  # checked before any change
            with self._engine(declared) as engine, told(f"node {name}"):
                engine.client.call("POST", "/swarm/leave")
        elif found["Spec"]["Role"] == "manager":
            self._change_spec(name, Role="worker")
        path = f"/nodes/{found['ID']}"
        absent(lambda: self.cluster.client.call("DELETE", path, query={"force": True}), f"node {name}")

    def _empty(self, name: str) -> None:
        """Its tasks move elsewhere first, so that what it ran is missed as little as can be."""
        self._change_spec(name, Availability="drain", Role="worker")
        self._await(name, lambda found: _has_role(found, "worker"), _JOIN, "does not come to be a worker")
        end = time.monotonic() + _DRAIN.total_seconds()
        while self.cluster.tasks_on(self._need(name)["ID"]):
            if time.monotonic() > end:
                raise RuntimeFailureError("its tasks do not end", where=f"node {name}")
            time.sleep(_POLL_S)

    def _change_spec(self, name: str, **values: str) -> None:
        self.cluster.change(
            f"node {name}", lambda: self._find(name), lambda found: self._put(found, {**found["Spec"], **values})
        )

    def _put(self, found: Entry, body: dict[str, Any]) -> None:
        path = f"/nodes/{found['ID']}/update"
        self.cluster.client.call("POST", path, body=body, query={"version": found["Version"]["Index"]})

    # -- looking -----------------------------------------------------------------------------------------------

    def _find(self, name: str) -> Entry | None:
        return next((one for one in self.cluster.nodes() if _name(one) == name and not _is_gone(one)), None)

    def _need(self, name: str) -> Entry:
        found = self._find(name)
        if found is None:
            raise RuntimeFailureError("is no longer in the swarm", where=f"node {name}")
        return found

    def _await(self, name: str, condition: Any, limit: timedelta, what: str) -> None:
        end = time.monotonic() + limit.total_seconds()
        while not condition(self._need(name)):
            if time.monotonic() > end:
                raise RuntimeFailureError(what, where=f"node {name}", hint="look at its engine's log")
            time.sleep(_POLL_S)

    def _is_own(self, found: Entry) -> bool:
        return bool(found["ID"] == (self.cluster.info.get("Swarm") or {}).get("NodeID"))

    @contextmanager
    def _engine(self, node: SwarmNode) -> Iterator[Cluster]:
        """The engine of a node, which must be the host of its name."""
        if node.address is None:
            raise DeclarationError(
                "is not in the swarm, and nothing is said of where its engine answers",
                where=str(node.id),
                hint="give its address: ssh://[user@]host",
            )
        try:
            client = connect(
                self.settings.model_copy(update={"engine_address": node.address, "engine_context": None}), "docker"
            )
        except BayplanError as error:
            error.where = error.where or str(node.id)
            raise
        try:
            engine = Cluster(client)
            host = str(engine.info.get("Name", ""))
            if host != node.name:
                raise ConflictError(
                    f"{node.address} is the host {host}", where=str(node.id), hint="a node has the name of its host"
                )
            yield engine
        finally:
            client.close()


def _observed(found: Entry) -> Observed:
    declared = _declared(found)
    actual = SwarmNode(
        name=_name(found),
        address=declared.address if declared else None,
        advertise=declared.advertise if declared else None,
        role=found["Spec"]["Role"],
        availability=found["Spec"]["Availability"],
        labels=plain(found["Spec"].get("Labels")),
    )
    status = found["Status"]
    ready = status["State"] == "ready"
    notes = () if ready else (f"is {status['State']}: {status.get('Message') or 'its engine does not answer'}",)
    return Observed(
        actual=actual,
        declared=declared,
        status=Status(state=State.READY, addresses={"swarm": status["Addr"]} if status.get("Addr") else {}),
        handle=found["ID"],
        notes=notes,
    )


def _declared(found: Entry) -> SwarmNode | None:
    return from_text(SwarmNode, (found["Spec"].get("Labels") or {}).get(labels.DECLARATION))


def _name(found: Entry) -> str:
    return str(found["Description"].get("Hostname", ""))


def _is_gone(found: Entry) -> bool:
    """Whether its engine has left and joined anew since: then the swarm lists it a second time."""
    return found["Status"]["State"] == "down" and "left the swarm" in str(found["Status"].get("Message", ""))


def _is_reachable(found: Entry) -> bool:
    return (found.get("ManagerStatus") or {}).get("Reachability") == "reachable"


def _has_role(found: Entry, role: str) -> bool:
    """A role is had when the managers' own quorum says so, a while after it was given."""
    return _is_reachable(found) if role == "manager" else not found.get("ManagerStatus")
