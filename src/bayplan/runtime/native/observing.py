"""A running container as the kernel has it: its links and addresses, its ports, the namespaces it shares, its watch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from bayplan.models import Change, Container, RestartCondition, Settings
from bayplan.runtime.native.containers import Containers, held, joining
from bayplan.runtime.native.containers.drift.inside import keeps_network
from bayplan.runtime.native.networks import Kernel, Networks
from bayplan.runtime.native.reconnect import joined
from bayplan.runtime.native.supervisor import client
from bayplan.runtime.native.supervisor.records import log_limits
from bayplan.runtime.protocol import Health, Observed, State
from bayplan.system.processes import Process


def with_endpoints(
    item: Observed, kernel: Kernel, places: Mapping[str, Any], networks: Networks, containers: Containers
) -> Observed:
    """What was observed of a container, with what the kernel shows of a running one; ``places`` are its addresses."""
    if item.status.state not in (State.RUNNING, State.PAUSED):
        return item
    defects = dict(networks.endpoint_defects(item.handle, kernel, item.status.pid))
    declared = item.declared
    # By its number, not by its record: a change that is under way may have removed that meanwhile.
    process = Process.of(item.status.pid) if item.status.pid else None
    if isinstance(declared, Container) and process:
        defects |= containers.drift(item.handle, declared, process)
        # A link that is gone took its addresses along: that says it all.
        if keeps_network(declared) and not any(text.startswith("its link ") for text in defects):
            defects |= networks.inside_defects(item.handle, kernel, process.pid)
        if not declared.network_mode:
            defects |= networks.names_defects(item.handle, kernel, [str(one) for one in declared.dns])
        defects |= dict.fromkeys(joining.lost(declared, process, containers.running), Change.RESTART.value)
        changed = held.other_limits(declared, containers.settings, item.handle)
        defects |= dict.fromkeys(changed, Change.IN_PLACE.value)
    kept = isinstance(declared, Container) and declared.restart.condition is not RestartCondition.NO
    cut = isinstance(declared, Container) and _log_is_cut(declared, containers.settings)
    watched = kept or item.status.health is not Health.NONE or cut
    if watched and not client.is_alive(containers.settings):
        defects = {**defects, "the supervisor does not run": Change.IN_PLACE.value}
    ports = tuple(str(port) for port in kernel.ports.get(item.handle, ()))
    status = item.status.model_copy(update={**places, "ports": ports})
    actual = joined(item.actual, places.get("addresses", {}))
    if isinstance(actual, Container):
        actual = held.as_held(actual, containers.settings, item.handle)
    return item.model_copy(update={"actual": actual, "defects": {**item.defects, **defects}, "status": status})


def with_layers(item: Observed, lost: Collection[str]) -> Observed:
    """The same; ``lost`` are digests of images that have lost a layer: what was in it is gone from the container."""
    if item.image_digest not in lost:
        return item
    defects = {**item.defects, "a layer of its image is gone": Change.RECREATE.value}
    return item.model_copy(update={"defects": defects})


def _log_is_cut(container: Container, settings: Settings) -> bool:
    kept = container.logging and container.logging.model_dump(mode="json")
    return log_limits({"logging": kept}, settings) is not None
