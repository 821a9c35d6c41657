"""The mounts of a container that does not run, over its layers, for whoever copies into or out of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bayplan.errors import NotFoundError
from bayplan.models import BindMount, Container, ImageMount, VolumeMount
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.containers.spec import image_mounts
from bayplan.runtime.native.containers.spec import mounts as spec_mounts
from bayplan.system import mounts
from bayplan.system.beneath import open_in_root


def show(container: Container, facts: Mapping[str, Any], paths: Paths, volumes: Mapping[str, Path]) -> None:
    """Mount its volumes, binds and images beneath its root, in the mount namespace of the caller.

    Targets are opened beneath the root at each mount, so that no link of the container's leads out of it. Raises
    NotFoundError for a source that is gone.
    """
    spec_mounts.show_parts(facts.get("parts", ()), paths.run)
    image_mounts.show(facts.get("images", ()), paths.run)
    for item in sorted(container.mounts, key=lambda one: one.target.count("/")):
        match item:
            case VolumeMount():
                source = paths.run / spec_mounts.part(item.target) if item.subpath else volumes[item.source]
            case BindMount():
                whole = item.recursive != "disabled"
                source = Path(item.source) if whole else paths.run / spec_mounts.part(item.target)
            case ImageMount():
                source = paths.run / spec_mounts.part(item.target)
            case _:
                continue
        _mount(source, paths.rootfs, item.target, read_only=item.read_only)


def _mount(source: Path, rootfs: Path, target: str, *, read_only: bool) -> None:
    try:
        directory = stat.S_ISDIR(source.stat().st_mode)
    except OSError as error:
        raise NotFoundError(f"{source} is gone: {error.strerror}", hint="start the container to see why") from error
    # Anew for each: what was mounted before lies over it.
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(FileExistsError):
            _make(root, target, directory=directory)
        fd = open_in_root(root, target, os.O_PATH)
        try:
            place = f"/proc/self/fd/{fd}"
            mounts.bind(str(source), place)
        finally:
            os.close(fd)
        if read_only:
            fd = open_in_root(root, target, os.O_PATH)
            try:
                flags = mounts.MS_REMOUNT | mounts.MS_BIND | mounts.MS_RDONLY
                mounts.mount("none", f"/proc/self/fd/{fd}", "none", flags)
            finally:
                os.close(fd)
    finally:
        os.close(root)


def _make(root: int, target: str, *, directory: bool) -> None:
    """The target of a container that has never run, as the runtime would make it."""
    parts = target.strip("/").split("/")
    for number, name in enumerate(parts, 1):
        with suppress(FileNotFoundError):
            os.close(open_in_root(root, "/".join(parts[:number]), os.O_PATH))
            continue
        parent = open_in_root(root, "/".join(parts[: number - 1]), os.O_RDONLY | os.O_DIRECTORY)
        try:
            if directory or number < len(parts):
                os.mkdir(name, 0o755, dir_fd=parent)
                mode = 0o755
            else:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
                mode = 0o644
            os.chmod(name, mode, dir_fd=parent)  # whatever the umask; nothing of the container's runs
        finally:
            os.close(parent)
