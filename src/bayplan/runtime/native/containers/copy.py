"""The root of a container, live or stopped, for files copied into and out of it (docker cp)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from bayplan.errors import ConflictError
from bayplan.models import TmpfsMount
from bayplan.runtime.native.containers import lifecycle, stopped
from bayplan.runtime.native.containers.containers import Containers
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.containers.spec.users import refuse_shifted
from bayplan.system import mounts, namespaces
from bayplan.system.files import private_directory


def with_root(
    containers: Containers, container_id: str, path: str, work: Callable[[int], None], volumes: Mapping[str, Path]
) -> None:
    """Call ``work`` with a descriptor of the container's root: of the process, else of its layers and mounts.

    ``volumes`` are names to directories. Of a stopped one, a path in memory raises ConflictError.
    """
    refuse_shifted(containers.facts(container_id), containers.declared(container_id).name)
    process = containers.process(container_id)
    if process:
        root = os.open(f"/proc/{process.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not process.alive:  # the pid may have become another's
                raise ConflictError(f"container {container_id[:12]} ended meanwhile", hint="try again")
            work(root)
        finally:
            os.close(root)
        return
    declared, paths = containers.declared(container_id), Paths.of(containers.settings, container_id)
    for item in declared.mounts:
        if isinstance(item, TmpfsMount) and f"{os.path.normpath(path)}/".startswith(f"{item.target}/"):
            raise ConflictError(f"{path} is in memory, and {declared.name} does not run", hint="start it first")
    layers = containers.layers(container_id)

    def mounted() -> None:
        for place in (paths.data, paths.work, paths.rootfs):
            private_directory(place)
        lifecycle.make_upper(paths)
        mounts.mount_overlay(layers, paths.upper, paths.work, paths.rootfs)
        stopped.show(declared, containers.facts(container_id), paths, volumes)
        root = os.open(paths.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            work(root)
        finally:
            os.close(root)

    namespaces.in_private_mounts(mounted)
