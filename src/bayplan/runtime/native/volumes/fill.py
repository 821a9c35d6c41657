"""The first use of an empty volume: it gets what the image has at the target."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bayplan.errors import RuntimeFailureError
from bayplan.system import mounts, namespaces, trees
from bayplan.system.beneath import syncfs
from bayplan.system.files import fsync_dir


def fill(data: Path, lowerdirs: Sequence[Path], target: str) -> None:
    """Give an empty volume (its ``_data``) what the image has at ``target``, with owners and modes.

    A path that leads through a symbolic link is not followed (it may lead out of the image): nothing is copied.
    The copy is made aside, brought to disk and renamed, so that a kill or a power cut leaves the volume empty or whole.
    Into a volume that is a mount there is no renaming: it is copied there, and a kill may leave a part.
    Raises RuntimeFailureError when the copy fails.
    """
    inside = target.lstrip("/")
    if any(data.iterdir()) or not any(os.path.lexists(layer / inside) for layer in lowerdirs):
        return
    # A copy that outlived its killed parent may still write into an older one.
    for left in data.parent.glob("_fill*"):
        trees.remove(left, ignore_errors=True)
    aside = data.with_name(f"_fill-{secrets.token_hex(4)}")
    mounted = mounts.is_mounted(data)

    def copy() -> bool:
        top = lowerdirs[0]
        if len(lowerdirs) > 1:
            top = data.with_name("_view")
            top.mkdir(exist_ok=True)
            mounts.mount_overlay(lowerdirs, None, None, top)
        source = top
        for part in Path(target).parts[1:]:
            source = source / part
            if source.is_symlink() or not source.is_dir():
                return False
        what, place = (f"{source}/.", data) if mounted else (str(source), aside)
        done = subprocess.run(["cp", "-a", "--", what, str(place)], capture_output=True, check=False)
        if done.returncode:
            output = done.stderr.decode(errors="replace")
            raise RuntimeFailureError(f"volume {data.parent.name} cannot be filled from the image", output=output)
        return True

    try:
        if namespaces.in_private_mounts(copy) and not mounted:
            _sync(aside)
            aside.rename(data)
            fsync_dir(data.parent)
    finally:
        trees.remove(aside, ignore_errors=True)
        view = data.with_name("_view")
        if view.exists():
            view.rmdir()


def _sync(directory: Path) -> None:
    """A volume that has something in it is never filled again: it must be whole before it has its name."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncfs(fd)
    finally:
        os.close(fd)
