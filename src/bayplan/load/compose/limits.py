"""Limits of a service's cgroup: the attributes of the service and ``deploy.resources``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from bayplan.load.compose import keys
from bayplan.load.compose.isolation import block_io
from bayplan.load.compose.nodes import Node, as_flag, as_integer, as_number, as_text, check_keys, ignored, wrong
from bayplan.load.compose.validate import make
from bayplan.models import ByteSize, Duration, Resources


def resources(service: Node) -> Resources:
    """Cgroup limits from ``mem_limit``, ``cpus`` ... and ``deploy.resources``. Raises DeclarationError."""
    values: dict[str, Any] = {}
    readers: dict[str, tuple[str, Callable[[Node], Any]]] = {
        "mem_limit": ("memory", as_size),
        "mem_reservation": ("memory_reservation", as_size),
        "cpus": ("cpus", as_number),
        "cpu_shares": ("cpu_shares", as_integer),
        "cpuset": ("cpuset", as_text),
        "pids_limit": ("pids", as_integer),
        "memswap_limit": ("memory_swap", _swap),
        "mem_swappiness": ("memory_swappiness", as_integer),
        "oom_kill_disable": ("oom_kill_disable", as_flag),
        "cpu_period": ("cpu_period", _microseconds),
        "cpu_quota": ("cpu_quota", _microseconds),
        "cpu_rt_period": ("cpu_rt_period", _microseconds),
        "cpu_rt_runtime": ("cpu_rt_runtime", _microseconds),
        "blkio_config": ("blkio", block_io),
    }
    for name, (field, read) in readers.items():
        if found := service.get(name):
            values[field] = read(found)
    deploy = service.get("deploy")
    given = deploy.get("resources") if deploy else None
    if given:
        check_keys(given, built={"limits", "reservations"})
        if limits := given.get("limits"):
            check_keys(limits, built=keys.LIMITS_BUILT)
            for name, field, read in (
                ("memory", "memory", as_size),
                ("cpus", "cpus", as_number),
                ("pids", "pids", as_integer),
            ):
                if found := limits.get(name):
                    values[field] = read(found)
        if reservations := given.get("reservations"):
            check_keys(reservations, built=keys.RESERVATIONS_BUILT | keys.RESERVATIONS_OF_SWARM)
            ignored(reservations, keys.RESERVATIONS_OF_SWARM, "it is for a scheduler of many hosts (Swarm)")
            if found := reservations.get("memory"):
                values["memory_reservation"] = as_size(found)
    for name in ("memory", "memory_swap", "memory_reservation", "cpus", "cpu_period", "cpu_quota", "cpu_shares"):
        if values.get(name) == 0:  # Docker's word for unset
            del values[name]
    if values.get("pids") == 0:
        values["pids"] = -1
    names = {field: name for name, (field, _) in readers.items()}
    return make(Resources, service, values, names)


def as_size(node: Node) -> ByteSize:
    """A number of bytes, also with a unit. Raises DeclarationError."""
    size = parsed(node, ByteSize.parse)
    assert isinstance(size, ByteSize)
    return size


def _swap(node: Node) -> ByteSize:
    """A size, or -1 for no limit."""
    return ByteSize(-1) if as_text(node) == "-1" else as_size(node)


def _microseconds(node: Node) -> int:
    """A number of microseconds, or a duration."""
    text = as_text(node)
    if text.lstrip("-").isdigit():
        return as_integer(node)
    period: Duration = parsed(node, Duration.parse)
    return period // timedelta(microseconds=1)


def parsed(node: Node, parse: Callable[[object], Any]) -> Any:
    """The scalar read by a type's parser, its ValueError turned into a DeclarationError."""
    try:
        return parse(as_text(node))
    except ValueError as error:
        raise wrong(node, str(error)) from error
