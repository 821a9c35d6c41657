"""Volumes that an image asks for (its ``VOLUME``): one for each path that no declared mount has, made with a container.

A name is made of the container's and the path, so that the next container of that name finds the data again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from bayplan.models import labels
from bayplan.models.container import Container
from bayplan.models.mounts import VolumeMount
from bayplan.models.types import absolute
from bayplan.models.volume import Volume

_LONGEST_NAME = 115
_KERNELS = ("proc", "sys", "dev")


def anonymous_name(container: str, target: str) -> str:
    """The name of the volume of a container at a path."""
    return f"{container[:_LONGEST_NAME]}_{hashlib.sha256(target.encode()).hexdigest()[:12]}"


def with_image_volumes(container: Container, paths: Iterable[str]) -> Container:
    """The container with a volume for each path of its image; a declared mount at the very path stays alone there.

    Raises ValueError for a path that is none, or at which the kernel's own file systems are (CVE-2019-16884).
    """
    declared = tuple(item for item in container.mounts if not (isinstance(item, VolumeMount) and item.of_image))
    covered = {item.target for item in declared}
    targets = sorted({_checked(path) for path in paths} - covered)
    made = tuple(VolumeMount(source=anonymous_name(container.name, one), target=one, of_image=True) for one in targets)
    return (
        container
        if not made and declared == container.mounts
        else container.model_copy(update={"mounts": (*declared, *made)})
    )


def volumes_of_image(container: Container, project: str, known: Collection[str] = ()) -> tuple[Volume, ...]:
    """The resources of these mounts, but for the names that are known."""
    own = {labels.MANAGED: "true", labels.ANONYMOUS: "", **({labels.PROJECT: project} if project else {})}
    return tuple(
        Volume(name=item.source, labels=own)
        for item in container.mounts
        if isinstance(item, VolumeMount) and item.of_image and item.source not in known
    )


def _checked(path: str) -> str:
    cleaned = absolute(path)
    if cleaned == "/" or cleaned.split("/")[1] in _KERNELS:
        raise ValueError(f"a volume at {cleaned}")
    return cleaned
