"""``volumes_from``: what another container mounts, as it is on the host or as this very stack declares it."""

from __future__ import annotations

from collections.abc import Iterator

from bayplan.errors import DeclarationError, NotFoundError
from bayplan.models import Container, Kind, Mount, ResourceId, Stack, TmpfsMount, VolumeMount
from bayplan.runtime.protocol import Runtime, Scope


def complete(stack: Stack, runtime: Runtime) -> Stack:
    """The stack with these mounts; a container's own go before them. Raises NotFoundError for one that is nowhere."""
    wanted = {name for item in stack.containers for name, _ in _named(item)}
    if not wanted:
        return stack
    known = {item.name: item for item in stack.containers}
    ids = [ResourceId(kind=Kind.CONTAINER, name=name) for name in sorted(wanted - known.keys())]
    found = runtime.observe(Scope(names=tuple(ids))) if ids else None
    there = {one.id.name: one.actual for one in found.of(Kind.CONTAINER)} if found else {}
    others = {**{name: item for name, item in there.items() if isinstance(item, Container)}, **known}
    return stack.model_copy(update={"containers": tuple(_complete(item, others) for item in stack.containers)})


def _named(container: Container) -> Iterator[tuple[str, bool]]:
    """Names of others, and whether theirs are only read."""
    for text in container.volumes_from:
        name, _, mode = text.partition(":")
        if mode not in ("", "rw", "ro"):
            what = f"volumes_from {text}: unknown mode {mode!r}"
            raise DeclarationError(what, where=str(container.id), hint="ro or rw")
        yield name, mode == "ro"


def _complete(container: Container, others: dict[str, Container]) -> Container:
    mounts: dict[str, Mount] = {}
    for name, read_only in _named(container):
        other = others.get(name)
        if other is None or other.name == container.name:
            what = f"container {name}, whose volumes are wanted, does not exist"
            raise NotFoundError(what, where=str(container.id), hint="make it first, or correct the name")
        mounts |= {item.target: _taken(item, read_only) for item in other.mounts if not isinstance(item, TmpfsMount)}
    if not mounts:
        return container
    mounts |= {item.target: item for item in container.mounts}
    return container.model_copy(update={"mounts": tuple(mounts.values())})


def _taken(mount: Mount, read_only: bool) -> Mount:
    update = {"read_only": True} if read_only and hasattr(mount, "read_only") else {}
    if isinstance(mount, VolumeMount):
        # It is the other's, whatever made it: this one's end does not remove it.
        update["of_image"] = False
    return mount.model_copy(update=update)
