"""What should run is started again after a reboot: networks first, then containers, with the addresses they had.

A reboot ends processes, namespaces, links, rules and what is under the run root; records and data stay. The boot id
(proc(5), /proc/sys/kernel/random/boot_id) tells records of an earlier boot, also where the run root survived it.
"""

from __future__ import annotations

import graphlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from sqlite3 import Row

from bayplan.errors import BayplanError
from bayplan.models import Container, RestartCondition
from bayplan.runtime.native.runtime import NativeRuntime
from bayplan.system.processes import boot_id

_COMES_BACK = (RestartCondition.ALWAYS, RestartCondition.UNLESS_STOPPED)


@dataclass(frozen=True)
class Resumed:
    """What became of one container; ``error`` is empty when it runs."""

    name: str
    error: str = ""


def resume(runtime: NativeRuntime) -> list[Resumed]:
    """Start what an end of the host has stopped. Done again, it finds nothing to do.

    Containers that ran, or waited for their restart, and whose policy is ``always`` or ``unless-stopped`` come back, as
    with Docker ("Start containers automatically"); those with ``on-failure`` or no policy stay ended. One that cannot
    be started does not hold up the others.
    """
    with runtime.lock("start after a reboot"):
        due = _due(runtime)
        if not due:
            return []
        _mend_networks(runtime)
        _mount_volumes(runtime)
        return [_start(runtime, due[name]) for name in _in_order(due)]


def _mend_networks(runtime: NativeRuntime) -> None:
    """One whose parent the host has no more fails with its containers, not with the others."""
    for row in runtime.database.query("SELECT name FROM networks ORDER BY name"):
        with suppress(BayplanError, OSError):
            runtime.networks.heal(row["name"])


def _mount_volumes(runtime: NativeRuntime) -> None:
    """One whose server is away fails with its containers, not with the others."""
    for row in runtime.database.query("SELECT name FROM volumes ORDER BY name"):
        with suppress(BayplanError, OSError):
            runtime.volumes.heal(row["name"])


def _due(runtime: NativeRuntime) -> dict[str, tuple[Row, Container]]:
    rows = runtime.database.query(
        "SELECT * FROM containers WHERE wanted = 'running' AND phase = 'created' AND superseded_by IS NULL"
        " AND boot_id NOT IN ('', ?) ORDER BY name",
        (boot_id(),),
    )
    found = {str(row["name"]): (row, Container.model_validate_json(row["declared"])) for row in rows}
    return {name: item for name, item in found.items() if item[1].restart.condition in _COMES_BACK}


def _in_order(due: Mapping[str, tuple[Row, Container]]) -> Sequence[str]:
    """A container after those it depends on. Nothing waits for health: each program was told how to wait for others."""
    services: dict[tuple[str, str], list[str]] = {}
    for name, (row, declared) in due.items():
        services.setdefault((row["project"], declared.service or name), []).append(name)
    graph = {
        name: [one for other in declared.depends_on for one in services.get((row["project"], other.service), ())]
        for name, (row, declared) in due.items()
    }
    return tuple(graphlib.TopologicalSorter(graph).static_order())


def _start(runtime: NativeRuntime, item: tuple[Row, Container]) -> Resumed:
    row, declared = item
    try:
        runtime.restart(row["id"], 0)
    except (BayplanError, OSError) as error:
        return Resumed(declared.name, str(error))
    return Resumed(declared.name)
