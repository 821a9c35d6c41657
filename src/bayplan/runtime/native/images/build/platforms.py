"""Platforms of stages: what a Dockerfile may name, and whether this host can run programs of it."""

from __future__ import annotations

import platform as machine
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayplan.registry.platforms import wishes

BINFMT = Path("/proc/sys/fs/binfmt_misc")
_HOSTS = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_FORM = re.compile(r"(?:(\w+)/)?([a-z0-9_]+)(?:/(v\d+))?")
_ALIASES = {"x86_64": "amd64", "aarch64": "arm64", "armhf": "arm/v7", "armel": "arm/v6", "i386": "386", "x86": "386"}
_IMPLIED = {("amd64", "v1"), ("arm64", "v8"), ("arm", "v7")}
"""Variants that are what the bare architecture means."""
_NATIVE = {"amd64": {"386"}, "arm64": {"arm"}}
_MACHINES = {"386": 3, "mips64le": 8, "ppc64le": 21, "s390x": 22, "arm": 40, "amd64": 62, "arm64": 183, "riscv64": 243}
_MACHINES |= {"loong64": 258}
"""``e_machine`` of elf(5), by Go's names."""


def host_architecture() -> str:
    """The machine's architecture in Go's names (OCI image configuration, "architecture")."""
    found = machine.machine()
    return _HOSTS.get(found, found)


def host() -> str:
    """That of the host."""
    return f"linux/{host_architecture()}"


def parse(text: str) -> str:
    """``linux/architecture[/variant]`` in its shortest form, of what containerd's Parse takes. Raises ValueError."""
    match = _FORM.fullmatch(text.strip().lower())
    if not match or match[1] not in (None, "linux"):
        raise ValueError(f"platform {text!r} is not of the form linux/architecture[/variant]")
    architecture, _, variant = _ALIASES.get(match[2], match[2]).partition("/")
    variant = match[3] or variant
    return "/".join(
        ["linux", architecture, *([variant] if variant and (architecture, variant) not in _IMPLIED else [])]
    )


def of(document: Mapping[str, Any]) -> str:
    """That of an image's configuration; the host's when it says none."""
    architecture = str(document.get("architecture") or "")
    if not architecture:
        return host()
    try:
        return parse("/".join(filter(None, ("linux", architecture, str(document.get("variant") or "")))))
    except ValueError:
        return f"linux/{architecture}"


def suits(document: Mapping[str, Any], platform: str) -> bool:
    """Whether an image of that configuration is one for the platform."""
    return wishes(of(document))[0] in wishes(platform)


def arguments(target: str) -> dict[str, str]:
    """Arguments every Dockerfile may ask for (Dockerfile reference, "Automatic platform ARGs")."""
    found: dict[str, str] = {}
    for side, platform in (("TARGET", target), ("BUILD", host())):
        system, architecture, variant = (*platform.split("/"), "")[:3]
        values = {"PLATFORM": platform, "OS": system, "ARCH": architecture, "VARIANT": variant}
        found |= {f"{side}{name}": value for name, value in values.items()}
    return found


def runs_here(platform: str, top: Path = BINFMT) -> bool:
    """Whether this host runs its programs: by its processor, or by an interpreter that containers need not hold.

    Flag F: the kernel opens the interpreter when it is registered (kernel, admin-guide/binfmt-misc).
    """
    architecture, own = platform.split("/")[1], host_architecture()
    if architecture == own or architecture in _NATIVE.get(own, ()):
        return True
    try:
        if (top / "status").read_text().strip() != "enabled":
            return False
        return any(_handles(path.read_text(), architecture) for path in top.iterdir() if path.name not in _OWN)
    except OSError:
        return False


_OWN = frozenset(("status", "register"))


def _handles(text: str, architecture: str) -> bool:
    lines = text.splitlines()
    fields = dict(line.partition(" ")[::2] for line in lines)
    flags = fields.get("flags:", "")
    try:
        magic = bytes.fromhex(fields.get("magic", ""))
    except ValueError:
        return False
    if lines[:1] != ["enabled"] or "F" not in flags or len(magic) < 20 or not magic.startswith(b"\x7fELF"):
        return False
    order = "big" if magic[5] == 2 else "little"
    return int.from_bytes(magic[18:20], order) == _MACHINES.get(architecture)  # type: ignore[arg-type]
