"""What is no longer needed: of a project what it does not declare any more, or of the host what nothing uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

from bayplan import app
from bayplan.app import prune as of_project
from bayplan.app import unused
from bayplan.bridge.answers import differing
from bayplan.bridge.request import read_stack
from bayplan.bridge.rooms import Asked
from bayplan.errors import DeclarationError
from bayplan.models import Kind
from bayplan.runtime.images import Freed
from bayplan.runtime.protocol import Runtime

_DECLARED = ("project_name", "project_src", "files", "definition")
_OF_HOST = ("networks", "named_volumes", "images", "unused_images", "builder_cache", "builder_cache_all")
_PARTS = ", ".join((*_OF_HOST, "volumes"))


def prune(asked: Asked) -> dict[str, Any]:
    """Remove just what a check lists."""
    options = asked.options
    if any(options.get(name) for name in _DECLARED):
        if of_host := [name for name in _OF_HOST if options.get(name)]:
            raise DeclarationError(
                f"{of_host[0]} is of the whole host, and a project was named",
                where="prune",
                hint="a task for each",
            )
        return _of_project(asked)
    if not any(options.get(name) for name in (*_OF_HOST, "volumes")):
        raise DeclarationError("nothing was named that could be removed", where="prune", hint=f"a project, or {_PARTS}")
    with asked.opened() as (runtime, _):
        return _of_host(asked, runtime)


def _of_project(asked: Asked) -> dict[str, Any]:
    stack = read_stack(asked.options, asked.settings)
    with asked.opened(stack.name) as (runtime, settings):
        keep = asked.options.get("keep")
        if keep is not None and int(keep) < 1:
            raise DeclarationError("keep: at least the last generation stays", where="prune")
        found = of_project.find(
            stack,
            runtime,
            settings,
            volumes=bool(asked.options.get("volumes")),
            keep=settings.generations_kept if keep is None else int(keep),
        )
        gone = [name for name, _ in found.listed()]
        if not asked.check:
            of_project.carry_out(found, stack, runtime, settings)
    return _answer([*map(_named, found.freed), *gone], found.freed, found.kept)


def _of_host(asked: Asked, runtime: Runtime) -> dict[str, Any]:
    """Each part by itself; none of them is what another one waits for."""
    chosen, check = asked.options, asked.check
    gone: list[str] = []
    freed: list[Freed] = []
    if chosen.get("networks"):
        gone += _removed(Kind.NETWORK, lambda: unused.networks(runtime), runtime, check=check)
    if chosen.get("volumes") or chosen.get("named_volumes"):
        named = bool(chosen.get("named_volumes"))
        gone += _removed(Kind.VOLUME, lambda: unused.volumes(runtime, named=named), runtime, check=check)
    if chosen.get("images") or chosen.get("unused_images"):
        freed += app.prune_images(runtime, unused=bool(chosen.get("unused_images")), dry_run=check)
    if chosen.get("builder_cache") or chosen.get("builder_cache_all"):
        freed += app.prune_builds(runtime, results=bool(chosen.get("builder_cache_all")), dry_run=check)
    return _answer([*gone, *map(_named, freed)], freed)


def _removed(kind: Kind, find: Callable[[], list[str]], runtime: Runtime, *, check: bool) -> list[str]:
    with nullcontext() if check else runtime.lock(f"removal of unused {kind.value}s"):
        found = find()
        if not check:
            unused.remove(kind, found, runtime)
    return [f"{kind.value} {name}" for name in found]


def _named(item: Freed) -> str:
    return f"{item.kind} {item.name}"


def _answer(gone: list[str], freed: Iterable[Freed], kept: Iterable[str] = ()) -> dict[str, Any]:
    size = sum(item.size_bytes for item in freed)
    before = "".join(f"{name}\n" for name in gone)
    return differing(bool(gone), before, "", removed=gone, kept=list(kept), size_bytes=size)
