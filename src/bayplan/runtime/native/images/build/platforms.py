"""Platforms of stages: what a Dockerfile may name, and whether this host can run programs of it."""

from __future__ import annotations

import platform as machine
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayplan.registry.platforms import wishes

BINFMT = Path("/proc/sys/fs/binfmt_misc")
EMULATOR = "install qemu-user-static and binfmt-support: an emulator registered in binfmt_misc with flag F"
"""What lets a host run programs of other processors."""
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
    """Whether this host runs its programs: by its processor, or by an interpreter that containers need not hold."""
    return not obstacle(platform, top)


def obstacle(platform: str, top: Path = BINFMT) -> str:
    """Why this host does not run its programs; empty when it does.

    Flag F: the kernel opens the interpreter when it is registered (kernel, admin-guide/binfmt-misc).
    """
    architecture, own = platform.split("/")[1], host_architecture()
    if architecture == own or architecture in _NATIVE.get(own, ()):
        return ""
    try:
        if (top / "status").read_text().strip() != "enabled":
            return f"binfmt_misc is switched off (echo 1 > {top / 'status'} switches it on)"
        found = [_handler(path.read_text()) for path in top.iterdir() if path.name not in _OWN]
    except OSError:
        return f"binfmt_misc is not mounted at {top}"
    mine = [item for item in found if item.machine == _MACHINES.get(architecture)]
    if any(item.enabled and item.opened for item in mine):
        return ""
    if any(item.enabled for item in mine):
        return f"{mine[0].interpreter} is registered in binfmt_misc without flag F, by which containers have it"
    return "its interpreter in binfmt_misc is switched off" if mine else "binfmt_misc has no interpreter for it"


_OWN = frozenset(("status", "register"))


@dataclass(frozen=True)
class _Handler:
    """An entry of binfmt_misc; ``machine`` is the ``e_machine`` it is for, None when it is for other files."""

    interpreter: str
    machine: int | None
    enabled: bool
    opened: bool


def _handler(text: str) -> _Handler:
    lines = text.splitlines()
    fields = dict(line.partition(" ")[::2] for line in lines)
    try:
        magic = bytes.fromhex(fields.get("magic", ""))
    except ValueError:
        magic = b""
    number = None
    if len(magic) >= 20 and magic.startswith(b"\x7fELF"):
        number = int.from_bytes(magic[18:20], "big" if magic[5] == 2 else "little")
    return _Handler(fields.get("interpreter", ""), number, lines[:1] == ["enabled"], "F" in fields.get("flags:", ""))
