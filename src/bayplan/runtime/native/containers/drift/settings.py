"""Declared kernel settings, as the container's own namespaces have them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bayplan.models import Change, Container
from bayplan.runtime.native.containers.spec import isolation
from bayplan.system import namespaces
from bayplan.system.processes import Process

_TOP = Path("/proc/sys")


def defects(container: Container, process: Process) -> dict[str, str]:
    """Those that have another value. Containers that declare none cost nothing."""
    texts = (f"its setting {name} is {held}, not {wanted}" for name, held, wanted in _lost(_wanted(container), process))
    return dict.fromkeys(texts, Change.IN_PLACE.value)


def heal(container: Container, process: Process) -> None:
    """Set them again."""
    lost = _lost(_wanted(container), process)
    if lost:
        namespaces.in_kernel_settings(process, lambda: _write(lost))


def _wanted(container: Container) -> dict[str, str]:
    """With its host name, which a process with this capability may have changed itself."""
    own = container.hostname and "SYS_ADMIN" not in isolation.capabilities(container)
    return {**isolation.sysctls(container), **({"kernel.hostname": str(container.hostname)} if own else {})}


def _lost(wanted: Mapping[str, str], process: Process) -> list[tuple[str, str, str]]:
    """Name, value and declared value of those that differ."""
    if not wanted:
        return []
    try:
        held = namespaces.in_kernel_settings(process, lambda: {name: _read(name) for name in wanted})
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return []
    return [
        (name, held[name], value)
        for name, value in wanted.items()
        if held[name] and held[name].split() != value.split()
    ]


def _write(lost: list[tuple[str, str, str]]) -> None:
    for name, _, value in lost:
        _file(name).write_text(value)


def _read(name: str) -> str:
    try:
        return _file(name).read_text().strip()
    except OSError:  # this kernel has no such setting; some can only be written
        return ""


def _file(name: str) -> Path:
    """sysctl(8): dots part a name; where a slash is in it, that does."""
    return _TOP / (name if "/" in name else name.replace(".", "/"))
