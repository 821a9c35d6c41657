"""Limits of the cgroup, as its files have them. Of v1 and v2 each has its own files for the same limit.

Not looked at are limits of block devices and huge pages, and what was never declared, but for the number of processes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from bayplan.models import Change, Container, Resources
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.containers.spec import resources
from bayplan.system import cgroups

_UNLIMITED = Resources()
_PAGE_BYTES = 4096
_PERIOD_US = 100_000
_V1 = {
    ("memory", "limit"): ("memory", "memory.limit_in_bytes"),
    ("memory", "swap"): ("memory", "memory.memsw.limit_in_bytes"),
    ("memory", "reservation"): ("memory", "memory.soft_limit_in_bytes"),
    ("memory", "swappiness"): ("memory", "memory.swappiness"),
    ("cpu", "quota"): ("cpu", "cpu.cfs_quota_us"),
    ("cpu", "period"): ("cpu", "cpu.cfs_period_us"),
    ("cpu", "shares"): ("cpu", "cpu.shares"),
    ("cpu", "cpus"): ("cpuset", "cpuset.cpus"),
    ("cpu", "mems"): ("cpuset", "cpuset.mems"),
    ("pids", "limit"): ("pids", "pids.max"),
}
_V2 = {
    ("memory", "limit"): ("memory", "memory.max"),
    ("memory", "reservation"): ("memory", "memory.low"),
    ("cpu", "cpus"): ("cpuset", "cpuset.cpus"),
    ("cpu", "mems"): ("cpuset", "cpuset.mems"),
    ("pids", "limit"): ("pids", "pids.max"),
}


def defects(container: Container, paths: Paths) -> dict[str, str]:
    """Limits that are others than were declared."""
    declared = container.resources
    wanted = _of_most() if declared == _UNLIMITED else _wanted(declared)
    found = (_lost(*one, paths) for one in wanted)
    return {text: Change.IN_PLACE.value for text in found if text}


def _lost(controller: str, name: str, wanted: str, paths: Paths) -> str:
    held = cgroups.read(paths.cgroup, controller, name)
    # A kernel without that file, or a group that is gone, has none.
    return "" if not held or same(held, wanted) else f"its limit {name} is {held}, not {wanted}"


@functools.cache
def _of_most() -> tuple[tuple[str, str, str], ...]:
    """What is wanted of containers that declare no limit."""
    return tuple(_wanted(_UNLIMITED))


def _wanted(declared: Resources) -> Iterator[tuple[str, str, str]]:
    """Controller, file and text of each declared limit."""
    limits = resources.limits(declared)
    unified = cgroups.is_unified()
    files = _V2 if unified else _V1
    for kind, values in limits.items():
        if isinstance(values, Mapping):
            for key, value in values.items():
                if (kind, key) in files:
                    yield *files[kind, key], str(value)
    if unified:
        yield from _of_v2_alone(limits)


def _of_v2_alone(limits: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What v2 counts otherwise: swap without memory, quota and period in one file (cgroup-v2, "Interface Files")."""
    memory, cpu = limits.get("memory", {}), limits.get("cpu", {})
    if "swap" in memory and "limit" in memory and memory["swap"] >= memory["limit"]:
        yield "memory", "memory.swap.max", str(memory["swap"] - memory["limit"])
    if "quota" in cpu:
        yield "cpu", "cpu.max", f"{cpu['quota'] if cpu['quota'] > 0 else 'max'} {cpu.get('period', _PERIOD_US)}"


def same(one: str, other: str) -> bool:
    """Whether two texts of a limit's file mean the same."""
    return _number(one) == _number(other)


def _number(text: str) -> tuple[float | str, ...]:
    """What is the same however the kernel writes it: whole pages, no limit, a set of processors."""
    if "," in text or "-" in text.strip("-"):
        return tuple(sorted(_members(text)))
    return tuple(_whole(word) for word in text.split())


def _whole(word: str) -> float | str:
    if word in ("max", "-1"):
        return math.inf
    if not word.isdecimal():
        return word
    number = int(word)
    return number if number < _PAGE_BYTES * 16 else number // _PAGE_BYTES * _PAGE_BYTES


def _members(text: str) -> Iterator[float | str]:
    for part in text.split(","):
        low, _, high = part.partition("-")
        if low.isdecimal() and (high.isdecimal() or not high):
            yield from range(int(low), int(high or low) + 1)
        else:
            yield part
