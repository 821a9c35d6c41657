"""Volumes that may hold only so much: project quotas of the file system on which they are.

The project's number is derived from the place of the volume, and is the directory's own from then on: what a kill left
is found by looking at the directory.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from bayplan.errors import RuntimeFailureError, UnsupportedError
from bayplan.models import Volume
from bayplan.system import quota

_FIRST, _COUNT = 1 << 20, 1 << 30
"""Numbers that people give by hand (projid(5)) are small."""


def check(volume: Volume, root: Path) -> None:
    """Refuse a size where it would not be kept. Raises UnsupportedError."""
    if volume.size_bytes is None:
        return
    place = next(item for item in (root, *root.parents) if item.is_dir())
    if not quota.is_enforced(str(place)):
        raise UnsupportedError(
            "a size needs project quotas on the file system of the state root",
            where=str(volume.id),
            hint="mount it with -o prjquota (XFS, or ext4 with the project feature), or drop the size",
        )


def apply(volume: Volume, top: Path) -> None:
    """Limit what is made in the volume's directory from now on. Raises RuntimeFailureError."""
    if volume.size_bytes is None:
        return
    number = _own(top) or _FIRST + int(hashlib.sha256(str(top).encode()).hexdigest(), 16) % _COUNT
    try:
        # The limit first: a directory whose project has none would hold any amount.
        quota.limit(str(top), number, int(volume.size_bytes))
        quota.assign(str(top), number)
    except OSError as error:
        raise RuntimeFailureError(f"volume {volume.name} cannot be limited: {error}") from error


def is_kept(volume: Volume, top: Path) -> bool:
    """Whether the declared size is what the kernel holds it to."""
    if volume.size_bytes is None:
        return True
    number = _own(top)
    wanted = -(-int(volume.size_bytes) // 512) * 512
    return bool(number) and quota.limit_of(str(top), number) == wanted


def forget(top: Path) -> None:
    """Take the limit of a directory that goes away from the kernel's tables."""
    with suppress(OSError):
        number = _own(top)
        if number:
            quota.limit(str(top), number, 0)


def _own(top: Path) -> int:
    """The project that is the volume's alone; 0 when it has none.

    A directory inherits that of the directory in which it is made: an administrator's, whose limit is not ours to set.
    """
    number = quota.project_of(str(top))
    given = _FIRST <= number < _FIRST + _COUNT
    return number if given and number != quota.project_of(str(top.parent)) else 0
