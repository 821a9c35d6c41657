"""``resources`` and ``restart``: what the engine can change on a running container, and the limits that it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bayplan.models import (
    BlockIo,
    ByteSize,
    Container,
    DeviceRate,
    DeviceWeight,
    Resources,
    RestartCondition,
    RestartPolicy,
)
from bayplan.runtime.engine_api.engine import Engine
from bayplan.runtime.engine_api.options.option import Gap, Option, build, same
from bayplan.runtime.engine_api.options.shape import Body, Shape
from bayplan.values import frozen

_NANO = 10**9
_KEYS: Mapping[str, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "memory": ("Memory", int, ByteSize),
    "memory_swap": ("MemorySwap", int, ByteSize),
    "memory_swappiness": ("MemorySwappiness", same, same),
    "memory_reservation": ("MemoryReservation", int, ByteSize),
    "oom_kill_disable": ("OomKillDisable", same, bool),
    "cpus": ("NanoCpus", lambda value: round(value * _NANO), lambda found: found / _NANO),
    "cpu_period": ("CpuPeriod", same, same),
    "cpu_quota": ("CpuQuota", same, same),
    "cpu_shares": ("CpuShares", same, same),
    "cpu_rt_period": ("CpuRealtimePeriod", same, same),
    "cpu_rt_runtime": ("CpuRealtimeRuntime", same, same),
    "cpuset": ("CpusetCpus", same, same),
    "cpuset_mems": ("CpusetMems", same, same),
    "pids": ("PidsLimit", same, same),
}
"""Fields to the API's keys, and the way there and back."""
_RATES = {
    "read_bps": "BlkioDeviceReadBps",
    "write_bps": "BlkioDeviceWriteBps",
    "read_iops": "BlkioDeviceReadIOps",
    "write_iops": "BlkioDeviceWriteIOps",
}


@frozen
class Limits(Option):
    """cgroup limits."""

    def write(self, wanted: Container, body: Body) -> None:
        """Memory plus swap is held to the memory, where the engine would give twice of it."""
        body.host |= limits(wanted.resources)
        if wanted.resources.blkio:
            body.host |= _blkio(wanted.resources.blkio)

    def read(self, shape: Shape) -> Any:
        """Unset is what does not limit."""
        found: dict[str, Any] = {}
        for name, (key, _, back) in _KEYS.items():
            value = shape.host.get(key)
            # Swappiness knows zero; -1 is none at all, but for swap, where it says so.
            none = (None, -1) if name == "memory_swappiness" else (None, 0, "", False)
            if value not in none and not (name == "pids" and value == -1):
                found[name] = back(value)
        if found.get("memory_swap") == found.get("memory"):
            found.pop("memory_swap", None)
        found["blkio"] = _read_blkio(shape.host)
        return build(Resources, hugetlb={}, **{"oom_kill_disable": False, **found})

    def foreign(self, wanted: Container, actual: Container) -> Any:
        """Left to the engine, memory plus swap is twice the memory."""
        found, asked = actual.resources, wanted.resources.memory_swap
        twice = found.memory is not None and found.memory_swap == 2 * found.memory
        return found.model_copy(update={"memory_swap": None}) if twice and asked is None else found

    def gaps(self, wanted: Container, engine: Engine) -> Iterator[Gap]:
        """Limits that its host cannot keep: it would drop them with a warning."""
        given = wanted.resources
        if given.hugetlb:
            yield "resources.hugetlb", "its API has no limits of huge pages"
        for name in sorted(engine.lacking & given.model_fields_set):
            if getattr(given, name) not in (None, False, -1):
                yield f"resources.{name}", "the kernel of its host does not count that"
        if engine.unified:
            for name in ("memory_swappiness", "oom_kill_disable", "cpu_rt_period", "cpu_rt_runtime"):
                if getattr(given, name) not in (None, False):
                    yield f"resources.{name}", "its host has cgroup v2, which has no such limit"
        if given.blkio and (given.blkio.weight or given.blkio.weight_device) and "blkio.weight" in engine.lacking:
            yield "resources.blkio.weight", "the kernel of its host does not weigh block devices"


def limits(wanted: Resources) -> dict[str, Any]:
    """The keys that a running container can be given too."""
    made: dict[str, Any] = {}
    for name, (key, to, _) in _KEYS.items():
        value = getattr(wanted, name)
        if value is not None and value is not False:
            made[key] = to(value)
    if wanted.memory is not None and wanted.memory_swap is None:
        made["MemorySwap"] = int(wanted.memory)
    return made


def _blkio(wanted: BlockIo) -> dict[str, Any]:
    made: dict[str, Any] = {"BlkioWeight": wanted.weight} if wanted.weight else {}
    if wanted.weight_device:
        made["BlkioWeightDevice"] = [{"Path": one.path, "Weight": one.weight} for one in wanted.weight_device]
    for name, key in _RATES.items():
        if rates := getattr(wanted, name):
            made[key] = [{"Path": one.path, "Rate": int(one.rate)} for one in rates]
    return made


def _read_blkio(host: Mapping[str, Any]) -> BlockIo | None:
    weights = tuple(
        build(DeviceWeight, path=one["Path"], weight=one["Weight"]) for one in host.get("BlkioWeightDevice") or ()
    )
    rates = {
        name: tuple(build(DeviceRate, path=one["Path"], rate=ByteSize(one["Rate"])) for one in host.get(key) or ())
        for name, key in _RATES.items()
    }
    weight = host.get("BlkioWeight") or None
    if weight is None and not weights and not any(rates.values()):
        return None
    return build(BlockIo, weight=weight, weight_device=weights, **rates)


@frozen
class Restart(Option):
    """When the engine starts it again."""

    def write(self, wanted: Container, body: Body) -> None:
        """Nothing for never."""
        if wanted.restart != RestartPolicy():
            body.host["RestartPolicy"] = policy(wanted.restart)

    def read(self, shape: Shape) -> Any:
        """An empty name is never, too."""
        found = shape.host.get("RestartPolicy") or {}
        condition = RestartCondition(found.get("Name") or "no")
        return RestartPolicy(condition=condition, max_retries=found.get("MaximumRetryCount") or None)


def policy(wanted: RestartPolicy) -> dict[str, Any]:
    """As the API has it."""
    return {"Name": wanted.condition.value, "MaximumRetryCount": wanted.max_retries or 0}


OPTIONS: tuple[Option, ...] = (Limits("resources"), Restart("restart"))
IN_PLACE = frozenset(
    {
        *("memory", "memory_swap", "memory_reservation", "cpus", "cpu_period", "cpu_quota", "cpu_shares"),
        *("cpu_rt_period", "cpu_rt_runtime", "cpuset", "cpuset_mems", "pids"),
    }
)
"""Limits that ``POST /containers/ID/update`` takes."""
RESETTABLE = frozenset({"memory_swap", "pids"})
"""Those of them that it can also take back: a zero means "as it is" to it."""
