"""A declaration held to a lock: what the lock names is taken at its digests."""

from __future__ import annotations

from collections.abc import Callable

from bayplan.errors import DeclarationError, NotFoundError
from bayplan.models import Build, Image, Pin, Stack
from bayplan.registry import platforms
from bayplan.resolve.inputs import inputs_of
from bayplan.resolve.lockfile import Lock

_LOCK = "`bayplan lock` takes it in"


def held(stack: Stack, lock: Lock, where: str, *, strict: bool = False) -> tuple[Stack, tuple[str, ...]]:
    """The stack with its images at the lock's digests, and what of it the lock has not, as sentences.

    ``strict`` refuses those, and builds whose files are others than were locked. Raises DeclarationError for a lock
    that contradicts the declaration; ``where`` is its path.
    """
    missing: list[str] = []
    images = []
    for image in stack.images:
        if image.build is None:
            images.append(_pulled(image, lock.images.get(str(image.reference)), where, missing.append))
        else:
            images.append(_built(image, image.build, lock, where, missing.append))
    if strict and missing:
        raise DeclarationError("; ".join(missing), where=where, hint=_LOCK)
    return stack.model_copy(update={"images": tuple(images)}), tuple(missing)


def _pulled(image: Image, pin: Pin | None, where: str, tell: Callable[[str], None]) -> Image:
    if pin is None:
        tell(f"image {image.name} is not in the lock")
        return image
    said = image.reference.digest
    if said and said not in (pin.digest, *pin.platforms.values()):
        what = f"image {image.name} is declared at another digest than it is locked at, {pin.digest[:19]}"
        raise DeclarationError(what, where=where, hint=f"correct one of them; {_LOCK}")
    if image.platform:
        try:
            platforms.pinned(pin, image.platform, image.reference)
        except NotFoundError as error:
            raise DeclarationError(error.what, where=where, hint=error.hint) from error
    return image.model_copy(update={"pin": pin})


def _built(image: Image, build: Build, lock: Lock, where: str, tell: Callable[[str], None]) -> Image:
    made = lock.builds.get(str(image.reference))
    if made is None:
        tell(f"the build of image {image.name} is not in the lock")
        return image
    gone = [name for name in made.bases if name not in lock.images]
    if gone:
        what = f"the lock contradicts itself: {image.name} is built on {', '.join(gone)}, which it has no digest of"
        raise DeclarationError(what, where=where, hint=_LOCK)
    inputs = inputs_of(build)
    if inputs != made.inputs:
        tell(f"what image {image.name} is built from is not what was locked")
    held_to = {
        "bases": {name: lock.images[name] for name in made.bases},
        "commits": {**build.commits, **made.commits},
        "inputs": inputs,
    }
    return image.model_copy(update={"build": build.model_copy(update=held_to)})


def loose(stack: Stack) -> Stack:
    """The stack as it is without a lock."""
    return stack.model_copy(update={"images": tuple(_loose(image) for image in stack.images)})


def _loose(image: Image) -> Image:
    build = image.build and image.build.model_copy(update={"bases": {}, "inputs": ""})
    return image.model_copy(update={"pin": None, "build": build})
