"""What images add to a declaration: volumes that they ask for, ports that they expose, digests of mounted ones."""

from __future__ import annotations

from collections.abc import Mapping

from bayplan.errors import UnsupportedError
from bayplan.models import Container, ImageMount, Stack, volumes_of_image, with_exposed_ports, with_image_volumes
from bayplan.runtime.protocol import ResolvedImage


def complete(stack: Stack, images: Mapping[str, ResolvedImage]) -> Stack:
    """The stack with what its images add, as far as they are known now. Raises UnsupportedError for a bad path."""
    containers = tuple(_complete(item, images) for item in stack.containers)
    known = {item.name for item in stack.volumes}
    added = [one for item in containers for one in volumes_of_image(item, stack.name, known)]
    return stack.model_copy(update={"containers": containers, "volumes": (*stack.volumes, *added)})


def _complete(container: Container, images: Mapping[str, ResolvedImage]) -> Container:
    image = images.get(container.image)
    mounts = tuple(_pinned(item, images) if isinstance(item, ImageMount) else item for item in container.mounts)
    found = container if mounts == container.mounts else container.model_copy(update={"mounts": mounts})
    if image is None or image.volumes is None:
        return found
    try:
        found = with_image_volumes(found, image.volumes)
    except ValueError as error:
        raise UnsupportedError(
            f"image {image.name} asks for a volume that cannot be: {error}",
            where=str(container.id),
            hint="use another image",
        ) from error
    try:
        return with_exposed_ports(found, image.exposed)
    except ValueError as error:
        raise UnsupportedError(str(error), where=str(container.id), hint="correct expose, or the image") from error


def _pinned(mount: ImageMount, images: Mapping[str, ResolvedImage]) -> ImageMount:
    image = images.get(mount.source)
    return mount if image is None else mount.model_copy(update={"digest": image.digest})
