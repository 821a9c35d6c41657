"""Where a container's cgroup is: below the core's own, a group of that name in it, or one that is on the host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bayplan.errors import ConflictError, NotFoundError
from bayplan.runtime.native.supervisor.place import Roots
from bayplan.system import cgroups

if TYPE_CHECKING:
    from bayplan.models import Container

_OWN = frozenset({"monitors", "supervisor"})
_FILE = "cgroup"


def check(container: Container) -> None:
    """Refuse a group that is the core's own or is not there. Raises ConflictError, NotFoundError."""
    parent = container.cgroup_parent
    if parent is None:
        return
    if not parent.startswith("/"):
        if parent.split("/")[0] in _OWN or parent.endswith(".slice"):
            hint = "name another; a slice of systemd by its path, such as /my.slice"
            raise ConflictError(f"cgroup_parent {parent} is not ours to use", hint=hint)
        return
    for top in cgroups.hierarchies():
        if not (top / parent[1:]).is_dir():
            raise NotFoundError(f"cgroup_parent {parent} is not there in {top}", hint="make it, or leave the / out")


def of(container: Container, roots: Roots, container_id: str) -> str:
    """The container's group."""
    parent = container.cgroup_parent or ""
    top = parent if parent.startswith("/") else f"{roots.cgroup_parent}/{parent}".rstrip("/")
    return f"{top}/{container_id}"


def keep(container: Container, roots: Roots, container_id: str, data: Path) -> None:
    """Note a group that is not where one usually is, beside the container's own layer: before anything is in it."""
    if container.cgroup_parent is not None:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        (data / _FILE).write_text(of(container, roots, container_id))


def kept(data: Path) -> str | None:
    """The group that was noted; None for the usual one."""
    try:
        return (data / _FILE).read_text() or None
    except FileNotFoundError:
        return None


def tidy(group: str, roots: Roots) -> None:
    """Remove the groups between the core's own and one that has gone, as far as they are empty."""
    parent = group.rpartition("/")[0]
    while parent.startswith(f"{roots.cgroup_parent}/"):
        cgroups.remove_empty(parent)
        parent = parent.rpartition("/")[0]
