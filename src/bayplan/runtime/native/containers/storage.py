"""``storage_opt``: how much a container's own layer may hold, by a project quota (see ``volumes.sizes``)."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from bayplan.errors import RuntimeFailureError, UnsupportedError
from bayplan.models import Container
from bayplan.runtime.native.containers.paths import Paths
from bayplan.system import quota

_FIRST, _COUNT = 1 << 20, 1 << 30
"""Numbers that people give by hand (projid(5)) are small."""


def check(container: Container, root: Path) -> None:
    """Refuse a size where it would not be kept. Raises UnsupportedError."""
    if "size" not in container.storage_opt:
        return
    place = next(item for item in (root, *root.parents) if item.is_dir())
    if not quota.is_enforced(str(place)):
        raise UnsupportedError(
            "storage_opt size needs project quotas on the file system of the state root",
            where=str(container.id),
            hint="mount it with -o prjquota (XFS, or ext4 with the project feature), or drop the size",
        )


def apply(container: Container, paths: Paths) -> None:
    """Limit what will be made in its layer. Raises RuntimeFailureError."""
    size = container.storage_opt.get("size")
    if size is None:
        return
    for directory in (paths.data, paths.upper, paths.work):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    paths.upper.chmod(0o755)  # the container's root directory, whatever the umask
    try:
        # The limit first: a directory whose project has none would hold any amount.
        quota.limit(str(paths.data), _number(paths), int(size))
        for directory in (paths.upper, paths.work):
            quota.assign(str(directory), _number(paths))
    except OSError as error:
        raise RuntimeFailureError(f"container {container.name} cannot be limited: {error}") from error


def forget(paths: Paths) -> None:
    """Take the limit of a layer that goes away from the kernel's tables."""
    with suppress(OSError):
        if quota.project_of(str(paths.upper)) == _number(paths):
            quota.limit(str(paths.upper), _number(paths), 0)


def _number(paths: Paths) -> int:
    """Derived from the place: what a kill left is found from the record alone."""
    return _FIRST + int(hashlib.sha256(str(paths.data).encode()).hexdigest(), 16) % _COUNT
