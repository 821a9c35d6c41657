"""What a running container has by now of what it was given: limits of its cgroup, and files of secrets and configs.

A program or a person on the host may have changed either (``echo 1 > pids.max``); no record says so, the kernel does.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterator, Mapping
from typing import Any

from bayplan.models import Container, FileGrant, Settings
from bayplan.models.types import ByteSize
from bayplan.runtime.native.containers import grants, groups
from bayplan.runtime.native.containers.drift import rates
from bayplan.runtime.native.containers.spec.resources import limits
from bayplan.runtime.seal import key
from bayplan.system import cgroups

_NONE = -1


def other_limits(container: Container, settings: Settings, container_id: str) -> Iterator[str]:
    """Sentences on limits that are not those that were applied. What the host's cgroups do not have is left out."""
    group = groups.of(container, settings, container_id)
    wanted = limits(container.resources)
    yield from _of_memory(group, wanted.get("memory", {}))
    pids = wanted.get("pids", {}).get("limit")
    if pids is not None:
        found = _number(cgroups.read(group, "pids", "pids.max", "pids.max"))
        if found is not None and found != pids:
            yield f"it may have {'any number of' if found == _NONE else found} processes, not {pids}"
    yield from _of_cpu(group, wanted.get("cpu", {}))
    yield from rates.other_rates(group, wanted)


def _of_memory(group: str, wanted: Mapping[str, Any]) -> Iterator[str]:
    page = os.sysconf("SC_PAGE_SIZE")  # the kernel keeps whole pages (kernel: page_counter_memparse)
    limit, swap = wanted.get("limit"), wanted.get("swap")
    # Version 2 counts swap alone, version 1 memory and swap together.
    alone = swap - limit if swap is not None and swap >= 0 and limit is not None and cgroups.is_unified() else swap
    for what, value, new, old in (
        ("memory limit", limit, "memory.max", "memory.limit_in_bytes"),
        ("limit of swap", alone, "memory.swap.max", "memory.memsw.limit_in_bytes"),
        ("reserved memory", wanted.get("reservation"), "memory.low", "memory.soft_limit_in_bytes"),
    ):
        found = None if value is None else _number(cgroups.read(group, "memory", new, old))
        if value is not None and found is not None and found != (value if value < 0 else value // page * page):
            yield f"its {what} is {_size(found)}, not {_size(value)}"


def _of_cpu(group: str, wanted: Mapping[str, Any]) -> Iterator[str]:
    for what, kind in (("processors", "cpus"), ("memory nodes", "mems")):
        text = cgroups.read(group, "cpuset", f"cpuset.{kind}", f"cpuset.{kind}").strip() if kind in wanted else ""
        if text and _numbers(text) != _numbers(wanted[kind]):
            yield f"its {what} are {text}, not {wanted[kind]}"
    quota, period = wanted.get("quota"), wanted.get("period")
    if quota is None or period is None:
        return
    if cgroups.is_unified():
        parts = cgroups.read(group, "cpu", "cpu.max", "cpu.max").split()
        found = [_number(part) for part in parts]
    else:
        found = [_number(cgroups.read(group, "cpu", name, name)) for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
    if len(found) == 2 and None not in found and found != [quota, period]:
        now = "all processors" if found[0] == _NONE else f"{found[0]} of {found[1]} µs"
        yield f"its CPU time is {now}, not {quota} of {period} µs"


def as_held(container: Container, settings: Settings, container_id: str) -> Container:
    """The container with the fingerprints of what its files hold now; of one that is not there as it was."""
    if not container.secrets and not container.configs:
        return container
    own = key(settings)
    held = [_as_held(grant, file, own) for grant, file in grants.entries(container, settings, container_id)]
    if all(new is old for new, old in zip(held, (*container.secrets, *container.configs), strict=True)):
        return container
    count = len(container.secrets)
    return container.model_copy(update={"secrets": tuple(held[:count]), "configs": tuple(held[count:])})


def _as_held(grant: FileGrant, file: os.PathLike[str], own: bytes) -> FileGrant:
    if not grant.fingerprint or not own:
        return grant
    try:
        with open(file, "rb") as source:  # noqa: PTH123 - any path
            found = hmac.new(own, source.read(), "sha256").hexdigest()[: len(grant.fingerprint)]
    except OSError:
        return grant
    return grant if found == grant.fingerprint else grant.model_copy(update={"fingerprint": found})


def _numbers(text: str) -> set[int]:
    """Those of a list such as 0-1,3 (cpuset(7), "List format")."""
    ends = [part.split("-") for part in text.split(",")]
    return {number for end in ends for number in range(int(end[0]), int(end[-1]) + 1)}


def _number(text: str) -> int | None:
    """A limit; -1 for none, None where there is no such file."""
    word = text.strip()
    if not word:
        return None
    return _NONE if word == "max" or int(word) >= 1 << 62 else int(word)


def _size(found: int) -> str:
    return "none" if found == _NONE else str(ByteSize(found))
