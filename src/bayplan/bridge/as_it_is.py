"""Containers of which a task names no image: they are there, and stay as they are but for what the task says."""

from __future__ import annotations

from typing import Any

from bayplan.errors import NotFoundError
from bayplan.models import Container, Image, Stack
from bayplan.runtime.protocol import Snapshot

AS_IT_IS = "localhost/as-it-is"
"""The image of one whose image is not named, as long as nobody has looked."""


def completed(stack: Stack, there: Snapshot) -> Stack:
    """With the declarations of those, taken from what is there. Raises NotFoundError for one that is not."""
    if not any(item.image == AS_IT_IS for item in stack.containers):
        return stack
    containers = tuple(_completed(item, there) if item.image == AS_IT_IS else item for item in stack.containers)
    images = {item.name: item for item in stack.images if item.name != AS_IT_IS}
    for item in containers:
        images.setdefault(item.image, Image(name=item.image))
    return stack.model_copy(update={"containers": containers, "images": tuple(images.values())})


def _completed(given: Container, there: Snapshot) -> Container:
    found = there.get(given.id)
    base = found and (found.declared or found.actual)
    if not isinstance(base, Container):
        raise NotFoundError(
            "it does not exist, and no image is named to make it from", where=str(given.id), hint="give image"
        )
    update: dict[str, Any] = {name: getattr(given, name) for name in given.model_fields_set - {"name", "image"}}
    if "resources" in update:
        limits = {name: getattr(given.resources, name) for name in given.resources.model_fields_set}
        update["resources"] = base.resources.model_copy(update=limits)
    return base.model_copy(update=update)
