"""Which entry of an index fits (OCI image specification, "Image Index", platform)."""

from __future__ import annotations

import platform as host
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bayplan.errors import CorruptStateError, NotFoundError
from bayplan.models.image import Pin
from bayplan.models.reference import ImageReference
from bayplan.registry.documents import DIGEST

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv8l": "arm", "armv7l": "arm", "armv6l": "arm", "i686": "386"}
_VARIANTS = {"armv6l": "v6"}
_NORMAL = {("arm64", "v8"): "", ("arm", ""): "v7", ("amd64", "v1"): ""}
"""Variants that are what the bare architecture means."""


def choose(index: Mapping[str, Any], platform: str | None, ref: ImageReference, *, first: bool = False) -> str:
    """Digest of the manifest for ``os/architecture[/variant]``; None is this host. ``first`` takes that for want of it.

    The best variant that the platform runs: a lower one of arm, a higher one of amd64 only where this processor has
    it. Raises NotFoundError with what there is, CorruptStateError for an index without a digest.
    """
    wanted = wishes(platform)
    offered: dict[tuple[str, str, str], str] = {}
    entries = index.get("manifests")
    for entry in entries if isinstance(entries, list) else ():
        own = entry.get("platform") if isinstance(entry, dict) else None
        if isinstance(own, dict):
            key = _normal(str(own.get("os")), str(own.get("architecture")), str(own.get("variant") or ""))
            offered.setdefault(key, str(entry.get("digest")))
    for wish in wanted:
        if wish in offered:
            if not DIGEST.fullmatch(offered[wish]):
                raise CorruptStateError(f"the index is malformed: {offered[wish]!r} is no digest", where=str(ref))
            return offered[wish]
    if first and DIGEST.fullmatch(found := next(iter(offered.values()), "")):
        return found
    there = sorted({"/".join(part for part in key if part) for key in offered})
    named = platform or "/".join(part for part in wanted[0] if part)
    raise NotFoundError(
        f"image {ref} has no manifest for {named}", where=ref.registry, hint=f"it has {', '.join(there) or 'none'}"
    )


def pinned(pin: Pin, platform: str | None, ref: ImageReference) -> str:
    """Digest of the manifest that a pin has for a platform; None is this host. Raises NotFoundError for none."""
    entries = []
    for name, digest in pin.platforms.items():
        system, architecture, variant = (*name.split("/"), "", "")[:3]
        own = {"os": system, "architecture": architecture, "variant": variant}
        entries.append({"platform": own, "digest": digest})
    try:
        return choose({"manifests": entries}, platform, ref)
    except NotFoundError as error:
        error.what = f"{error.what} in the lock"
        error.hint += "; `bayplan lock --upgrade` asks the registry again"
        raise


def wishes(platform: str | None) -> list[tuple[str, str, str]]:
    """What would do, best first, as os, architecture and normal variant."""
    if platform is None:
        machine = host.machine()
        architecture = _MACHINES.get(machine, machine)
        variant = _VARIANTS.get(machine, "")
        system, higher = "linux", list(_higher()) if architecture == "amd64" else []
    else:
        system, architecture, variant = (*platform.split("/"), "", "")[:3]
        higher = []
    first = _normal(system, architecture, variant)
    found = [first, *((system, architecture, item) for item in higher)]
    if architecture == "arm" and first[2] in ("v7", "v6"):
        found += [(system, "arm", f"v{number}") for number in range(int(first[2][1]) - 1, 4, -1)]
    if architecture == "amd64" and first[2] in ("v2", "v3", "v4"):
        found += [(system, "amd64", f"v{number}") for number in range(int(first[2][1]) - 1, 1, -1)]
        found.append((system, "amd64", ""))
    return found


def suits(system: str, architecture: str, variant: str, platform: str | None) -> bool:
    """Whether an image for these runs where ``platform`` is wanted; None is this host."""
    return _normal(system, architecture, variant) in wishes(platform)


def of_machine(machine: str) -> str:
    """``os/architecture[/variant]`` of a machine as uname(2) calls it."""
    return "/".join(part for part in ("linux", _MACHINES.get(machine, machine), _VARIANTS.get(machine, "")) if part)


def _normal(system: str, architecture: str, variant: str) -> tuple[str, str, str]:
    return system, architecture, _NORMAL.get((architecture, variant), variant)


@cache
def _higher() -> tuple[str, ...]:
    """Levels of x86-64 that this processor has (x86-64 psABI, "Micro-Architecture Levels"), lowest first."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    flags = set(line.partition(":")[2].split())
    needs = (("v2", {"sse4_2", "popcnt", "cx16"}), ("v3", {"avx2", "bmi2", "fma", "movbe"}), ("v4", {"avx512f"}))
    found = []
    for level, wanted in needs:
        if not wanted <= flags:
            break
        found.append(level)
    return tuple(found)
