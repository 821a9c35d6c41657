"""What keeps a container apart from its host: capabilities, system calls, hidden paths, devices, kernel settings."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bayplan.errors import NotFoundError
from bayplan.models import Container
from bayplan.models.types import CAPABILITY_NUMBERS
from bayplan.runtime.native.containers import apparmor, profiles, seccomp
from bayplan.runtime.native.containers.crun import ANNOTATION
from bayplan.system.processes import bounding_set

DEFAULT_CAPABILITIES = frozenset(
    (
        *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    )
)
# Those of Docker's newest version.
_MASKED = (
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *("/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats"),
    *("/sys/devices/virtual/powercap", "/sys/firmware"),
)
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_PROCESSORS = Path("/sys/devices/system/cpu")
_NOT_GIVEN = frozenset({"pts", "shm", "mqueue", "fd", "console", "ptmx", "tty", "null", "zero", "full", "random"})
"""Of /dev: what the runtime makes itself, and the controlling terminal."""


@functools.cache
def available() -> frozenset[str]:
    """The capabilities that this host lets us give: inside another container, or a service, it may be fewer."""
    bits = bounding_set()
    return frozenset(name for number, name in enumerate(CAPABILITY_NUMBERS) if bits >> number & 1)


def capabilities(container: Container) -> frozenset[str]:
    """The capabilities a container holds; ALL is every one that the host has."""
    if container.privileged:
        return available()
    held = set(available() if "ALL" in container.cap_add else DEFAULT_CAPABILITIES)
    held.update(set(container.cap_add) - {"ALL"})
    if "ALL" in container.cap_drop:
        held = set(container.cap_add) - {"ALL"}
    return frozenset(held - set(container.cap_drop))


def option(container: Container, name: str) -> str | None:
    """The value of the last security option of that name, ``true`` for a bare one; None when it is not given."""
    found = None
    for text in container.security_opt:
        key, value = split_option(text)
        if key == name:
            found = value
    return found


def split_option(text: str) -> tuple[str, str]:
    """``name=value``, ``name:value`` or ``name``, as Docker takes them."""
    cut = min((text.index(sign) for sign in "=:" if sign in text), default=len(text))
    return text[:cut], text[cut + 1 :] or "true"


def no_new_privileges(container: Container) -> bool:
    """On unless it is switched off, or the container is privileged and does not ask for it."""
    given = option(container, "no-new-privileges")
    return not container.privileged if given is None else given == "true"


def apparmor_profile(container: Container) -> str:
    """The profile to run under: the one asked for (``options`` refuses one that is not there), else ours; or none."""
    given = option(container, "apparmor")
    if given is None:
        return "" if container.privileged else apparmor.default()
    return "" if given == "unconfined" else given


def seccomp_annotation(container: Container, held: frozenset[str], cache: Path, *, keep: bool = True) -> dict[str, str]:
    """The compiled filter for crun; nothing when system calls are not filtered. ``keep`` it below ``cache``."""
    given = option(container, "seccomp")
    if not is_filtered(container):
        return {}
    if given is None or given == "builtin":
        return {ANNOTATION: seccomp.filter_for(held, cache, keep=keep)}
    return {ANNOTATION: profiles.filter_of(Path(given), held, cache, keep=keep)}


def seccomp_section(container: Container, held: frozenset[str]) -> dict[str, Any]:
    """``linux.seccomp`` for every other runtime: none knows crun's annotation, and each would run unfiltered."""
    given = option(container, "seccomp")
    if not is_filtered(container):
        return {}
    if given is None or given == "builtin":
        return {"seccomp": seccomp.section(held)}
    return {"seccomp": profiles.section(Path(given), held)}


def is_filtered(container: Container) -> bool:
    """Whether its system calls are filtered."""
    given = option(container, "seccomp")
    return given != "unconfined" and not (given is None and container.privileged)


def guarded_paths(container: Container) -> tuple[list[str], list[str]]:
    """Paths that are hidden, and paths that are read-only."""
    hidden, read_only = [*_MASKED, *_throttles()], [*_READ_ONLY]
    unmasked = (option(container, "unmask") or "").split(":")
    if container.privileged or option(container, "systempaths") == "unconfined" or "ALL" in unmasked:
        hidden, read_only = [], []
    hidden = [path for path in hidden if path not in unmasked]
    read_only = [path for path in read_only if path not in unmasked]
    if more := option(container, "mask"):
        hidden += more.split(":")
    return hidden, read_only


@functools.cache
def _throttles() -> tuple[str, ...]:
    return tuple(map(str, sorted(_PROCESSORS.glob("cpu[0-9]*/thermal_throttle"))))


def sysctls(container: Container) -> dict[str, str]:
    """Kernel settings of its namespaces; the domain name is one of them."""
    named = {"kernel.domainname": container.domainname} if container.domainname else {}
    return {**container.sysctls, **named}


def devices(container: Container) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """``linux.devices`` and the rules of its cgroup. Raises NotFoundError for a device that is not there."""
    rules: list[dict[str, Any]] = [{"allow": container.privileged, "access": "rwm"}]
    nodes: dict[str, dict[str, Any]] = {}
    if container.privileged:
        for path in sorted(Path("/dev").iterdir()):
            if path.name not in _NOT_GIVEN and not path.is_symlink():
                nodes |= {str(one): _node(one, str(one)) for one in _nodes(path)}
    for item in container.devices:
        source = Path(item.source)
        found = list(_nodes(source.resolve()))
        if not found:
            raise NotFoundError(f"device {item.source} is not there", where=str(container.id), hint="see ls /dev")
        for one in found:
            below = one.relative_to(source.resolve())
            target = item.target if str(below) == "." else f"{item.target}/{below}"
            nodes[target] = _node(one, target)
            numbers = {key: nodes[target][key] for key in ("type", "major", "minor")}
            rules.append({"allow": True, **numbers, "access": item.permissions})
    rules += [_rule(text) for text in container.device_cgroup_rules]
    return list(nodes.values()), rules


def _nodes(path: Path) -> Iterator[Path]:
    """The device at a path, or those in a directory; links in it lead elsewhere and are left out."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        yield path
    elif stat.S_ISDIR(mode):
        for child in sorted(path.iterdir()):
            yield from _nodes(child)


def _node(path: Path, target: str) -> dict[str, Any]:
    found = path.stat()
    return {
        "path": target,
        "type": "b" if stat.S_ISBLK(found.st_mode) else "c",
        "major": os.major(found.st_rdev),
        "minor": os.minor(found.st_rdev),
        "fileMode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
    }


def _rule(text: str) -> dict[str, Any]:
    kind, numbers, access = text.split()
    major, minor = numbers.split(":")
    found: dict[str, Any] = {"allow": True, "type": kind, "access": access}
    return {**found, **{name: int(part) for name, part in (("major", major), ("minor", minor)) if part != "*"}}
