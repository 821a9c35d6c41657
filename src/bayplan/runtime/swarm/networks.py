"""Overlay networks. Swarm changes none of one that is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bayplan.errors import NotFoundError
from bayplan.models import labels
from bayplan.models.swarm import OverlayNetwork
from bayplan.runtime.engine_api.client import told
from bayplan.runtime.protocol import Observed, State, Status
from bayplan.runtime.swarm.cluster import Cluster, Entry, absent, owned, owner, plain
from bayplan.runtime.swarm.declared import from_text, to_text

_MTU = "com.docker.network.driver.mtu"
_ENCRYPTED = "encrypted"


class Networks:
    """Makes and removes them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def observe(self, found: Sequence[Entry]) -> Iterator[Observed]:
        """Those of a list; networks of one engine are there for whoever names them as external."""
        for one in sorted(found, key=lambda one: one.get("Scope") == "swarm"):
            yield _observed(one)

    def create(self, network: OverlayNetwork, project: str) -> None:
        """Make it; each node gets its part when a task there needs it."""
        pool = {"Subnet": network.subnet, "Gateway": network.gateway, "IPRange": network.ip_range}
        said = {name: str(value) for name, value in pool.items() if value is not None}
        options = {_ENCRYPTED: ""} if network.encrypted else {}
        body: dict[str, Any] = {
            "Name": network.name,
            "Driver": "overlay",
            "CheckDuplicate": True,
            "Attachable": network.attachable,
            "Internal": network.internal,
            "Options": {**options, **({_MTU: str(network.mtu)} if network.mtu else {})},
            "Labels": owned(network.labels, project, **{labels.DECLARATION: to_text(network)}),
        }
        if said:
            body["IPAM"] = {"Driver": "default", "Config": [said]}
        with told(str(network.id)):
            self.cluster.client.call("POST", "/networks/create", body=body)

    def delete(self, name: str) -> None:
        """Remove it. Raises ConflictError while tasks are on it."""
        found = next((one for one in self.cluster.networks() if one["Name"] == name and one["Scope"] == "swarm"), None)
        if found is not None:
            path = f"/networks/{found['Id']}"
            absent(lambda: self.cluster.client.call("DELETE", path), f"network {name}", in_use="in use")

    def inspect(self, name: str) -> Entry:
        """As `docker network inspect`. Raises NotFoundError."""
        found = next((one for one in self.cluster.networks() if one["Name"] == name), None)
        if found is None:
            raise NotFoundError(f"network {name} does not exist")
        return found


def _observed(found: Entry) -> Observed:
    marks, options = found.get("Labels") or {}, found.get("Options") or {}
    pools = (found.get("IPAM") or {}).get("Config") or []
    pool: Entry = next((one for one in pools if ":" not in str(one.get("Subnet", ":"))), {})
    declared = from_text(OverlayNetwork, marks.get(labels.DECLARATION))
    project, managed = owner(marks)
    ranges = (("subnet", "Subnet"), ("ip_range", "IPRange"), ("gateway", "Gateway"))
    known = {name: pool.get(key) or None for name, key in ranges}
    actual = OverlayNetwork(
        name=found["Name"],
        attachable=bool(found.get("Attachable")),
        encrypted=_ENCRYPTED in options and options[_ENCRYPTED] != "false",
        internal=bool(found.get("Internal")),
        mtu=int(options[_MTU]) if options.get(_MTU, "").isdigit() else None,
        labels=plain(marks),
        **known,
    )
    return Observed(
        actual=actual,
        declared=declared,
        status=Status(state=State.READY),
        handle=found["Id"],
        project=project,
        managed=managed,
    )
