"""``linux.resources``: limits of the cgroup, and what a change of them tells the kernel."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from bayplan.models import BlockIo, DeviceRate, DeviceWeight, Resources
from bayplan.system import cgroups

_CPU_PERIOD_US = 100_000
_NO_LIMIT = 2**63 - 4096
DEFAULT_PIDS = 2048
"""What a container may have that says nothing: enough for a large server, and no fork bomb takes the host along (CIS
Docker Benchmark 1.6, 5.29; the same as Podman's)."""
_THROTTLES = {
    "throttleReadBpsDevice": "read_bps",
    "throttleWriteBpsDevice": "write_bps",
    "throttleReadIOPSDevice": "read_iops",
    "throttleWriteIOPSDevice": "write_iops",
}
_DEFAULTS: Mapping[str, Mapping[str, int]] = {
    "memory": {"limit": -1, "swap": -1, "reservation": -1},
    "cpu": {"shares": 1024},
    "blockIO": {"weight": 500},
}
_LIFTED = {
    ("cpu", "quota"): (("cpu", "cpu.cfs_quota_us", "-1"), ("cpu", "cpu.max", f"max {_CPU_PERIOD_US}")),
    ("cpu", "period"): (("cpu", "cpu.cfs_period_us", str(_CPU_PERIOD_US)), ("cpu", "cpu.max", f"max {_CPU_PERIOD_US}")),
    ("pids", "limit"): (("pids", "pids.max", "max"), ("pids", "pids.max", "max")),
    ("memory", "disableOOMKiller"): (("memory", "memory.oom_control", "0"), None),
}
"""What crun's update does not take: the file and the text of v1 and of v2 that mean no limit."""


def limits(wanted: Resources) -> dict[str, Any]:
    """``linux.resources`` of the declared limits. A memory limit alone holds memory plus swap to the same."""
    swap = wanted.memory if wanted.memory_swap is None else wanted.memory_swap
    quota, period = wanted.cpu_quota, wanted.cpu_period
    if wanted.cpus is not None:
        quota, period = int(wanted.cpus * _CPU_PERIOD_US), _CPU_PERIOD_US
    found: dict[str, dict[str, Any]] = {
        "memory": {
            "limit": _number(wanted.memory),
            "swap": _number(swap),
            "reservation": _number(wanted.memory_reservation),
            "swappiness": wanted.memory_swappiness,
            "disableOOMKiller": wanted.oom_kill_disable or None,
        },
        "cpu": {
            "quota": quota,
            "period": period,
            "shares": wanted.cpu_shares,
            "realtimePeriod": wanted.cpu_rt_period,
            "realtimeRuntime": wanted.cpu_rt_runtime,
            "cpus": wanted.cpuset,
            "mems": wanted.cpuset_mems,
        },
        "pids": {"limit": _pids(wanted.pids)},
        "blockIO": _block_io(wanted.blkio or BlockIo()),
    }
    pages = [{"pageSize": size, "limit": int(limit)} for size, limit in sorted(wanted.hugetlb.items())]
    given = {kind: {key: value for key, value in one.items() if value is not None} for kind, one in found.items()}
    return {**{kind: one for kind, one in given.items() if one}, **({"hugepageLimits": pages} if pages else {})}


def changes(before: Resources, after: Resources) -> dict[str, Any]:
    """``linux.resources`` that turn a running container's limits into others: what is gone has its default again."""
    old, new = limits(before), limits(after)
    for kind, values in old.items():
        if kind == "hugepageLimits":
            sizes = {one["pageSize"] for one in new.get(kind, ())}
            lifted = [{**one, "limit": _NO_LIMIT} for one in values if one["pageSize"] not in sizes]
            new[kind] = [*new.get(kind, ()), *lifted]
            continue
        mine = new.setdefault(kind, {})
        for key, value in values.items():
            if key in _THROTTLES:
                kept = {(one["major"], one["minor"]) for one in mine.get(key, ())}
                lifted = [{**one, "rate": 0} for one in value if (one["major"], one["minor"]) not in kept]
                mine[key] = [*mine.get(key, ()), *lifted]
            elif key not in mine and key in _DEFAULTS.get(kind, {}):
                mine[key] = _DEFAULTS[kind][key]
            elif key not in mine and key in ("cpus", "mems"):
                mine[key] = cgroups.all_of_cpuset(key)
            elif key not in mine and key == "swappiness":
                mine[key] = cgroups.host_swappiness()
    return {kind: one for kind, one in new.items() if one}


def lift(cgroup: str, before: Resources, after: Resources) -> None:
    """Take away limits that the OCI runtime cannot take away. Raises OSError."""
    old, new = limits(before), limits(after)
    for (kind, key), files in _LIFTED.items():
        file = files[1] if cgroups.is_unified() else files[0]
        if file and key in old.get(kind, {}) and key not in new.get(kind, {}):
            cgroups.write(cgroup, *file)


def _pids(wanted: int | None) -> int | None:
    if wanted is None:
        return DEFAULT_PIDS if "pids" in cgroups.controllers() else None
    return wanted if wanted > 0 else None


def _number(value: int | None) -> int | None:
    return None if value is None else int(value)


def _block_io(wanted: BlockIo) -> dict[str, Any]:
    found: dict[str, Any] = {"weight": wanted.weight}
    found["weightDevice"] = [_weight(item) for item in wanted.weight_device] or None
    for key, field in _THROTTLES.items():
        found[key] = [_rate(item) for item in getattr(wanted, field)] or None
    return found


def _weight(item: DeviceWeight) -> dict[str, int]:
    number = os.stat(item.path).st_rdev  # noqa: PTH116 - a device's number
    return {"major": os.major(number), "minor": os.minor(number), "weight": item.weight}


def _rate(item: DeviceRate) -> dict[str, int]:
    number = os.stat(item.path).st_rdev  # noqa: PTH116 - a device's number
    return {"major": os.major(number), "minor": os.minor(number), "rate": int(item.rate)}
