"""The verbs of bundles: an environment in one file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bayplan.errors import ConflictError, DeclarationError, UnsupportedError
from bayplan.models import Image, Pin, Stack
from bayplan.reconcile.plan import Plan
from bayplan.reconcile.planner import default_scope, make_plan
from bayplan.registry import platforms
from bayplan.resolve.beside import beside
from bayplan.resolve.bundle import archive, making, opening, reading
from bayplan.resolve.bundle.contents import IMAGES, Bundle
from bayplan.resolve.bundle.opening import Given
from bayplan.resolve.bundle.reading import OpenBundle
from bayplan.resolve.upstream import platform_of
from bayplan.runtime.protocol import Report, Runtime, silent

_FORMS = ("oci-archive", "docker-archive")


def missing(stack: Stack, runtime: Runtime) -> tuple[Image, ...]:
    """Images of a declaration that must be pulled or built before they can be in a bundle. Raises UnsupportedError."""
    _check_engine(runtime)
    return tuple(image for image in stack.images if not runtime.resolve(image).present)


def complete(stack: Stack, runtime: Runtime, report: Report = silent) -> None:
    """Fetch again what is gone of images that are here: one that is unpacked runs without its blobs."""
    for image in stack.images:
        found = runtime.resolve(image)
        if image.build is None and found.present and not runtime.image_verbs.has(image.name, found.digest):
            with runtime.lock(f"pull of {image.name}"):
                runtime.create(image, project="", digest=found.digest, report=report)


def make(stack: Stack, runtime: Runtime, path: Path, report: Report = silent) -> Bundle:
    """Write the bundle of a declaration that is held to its lock, and whose images are here.

    Raises ConflictError when the path is there already, NotFoundError for files that are gone.
    """
    _check_engine(runtime)
    if path.exists() or path.is_symlink():
        raise ConflictError("exists already", where=str(path), hint="name another place, or remove it first")
    lock = beside(stack)
    assert lock is not None  # it was held to one
    pieces = list(making.pieces_of(stack, lock.read_bytes()))
    images = {str(image.reference): _pin(image, runtime) for image in stack.images}
    found = {platform for pin in images.values() for platform in pin.ids}
    if len(found) != 1:
        what = f"the images are for several platforms: {', '.join(sorted(found))}"
        raise DeclarationError(what, hint="a bundle is for one")
    with _scratch(path) as folder:
        saved = folder / IMAGES
        _save(images, runtime, saved, report)
        pieces.append(making.images_piece(saved))
        bundle = making.bundle_of(stack, images, found.pop(), pieces)
        part = folder / "bundle"
        with part.open("xb") as out:
            making.write(out, bundle, pieces)
            out.flush()
            os.fsync(out.fileno())
        part.rename(path)
    return bundle


@dataclass(frozen=True)
class Opened:
    """A bundle that was checked, and where its files are to be."""

    made: OpenBundle
    directory: Path
    given: Given

    def place(self, runtime: Runtime, report: Report = silent) -> Callable[[], Plan]:
        """Bring images and files, and give what plans it. What is missing is said before anything is brought."""
        self._declared(runtime)
        with self.made.opened(IMAGES) as images:
            runtime.image_verbs.load(images, None, report)
        opening.put_files(self.made, self.directory)
        return lambda: self._plan(runtime)

    def _declared(self, runtime: Runtime) -> Stack:
        snapshot = runtime.observe(default_scope(self.made.bundle.stack))
        return opening.declared(self.made, self.directory, self.given, snapshot)

    def _plan(self, runtime: Runtime) -> Plan:
        stack = self._declared(runtime)
        plan = make_plan(opening.applied(stack), runtime)
        return plan.model_copy(update={"stack": stack, "note": "from a bundle"})


@contextmanager
def opened(path: Path) -> Iterator[OpenBundle]:
    """A bundle from anywhere, checked whole. Raises CorruptStateError for one that is not sound, UnsupportedError."""
    with reading.opened(path) as made:
        yield made


def for_host(made: OpenBundle, directory: Path, given: Given, runtime: Runtime) -> Opened:
    """A bundle that is to be applied here. Raises UnsupportedError for one that is for another kind of host."""
    _check_engine(runtime)
    _check_platform(made.bundle, runtime, made.where)
    return Opened(made, directory, given)


def _pin(image: Image, runtime: Runtime) -> Pin:
    """What the lock has of an image, or what was built, and the id by which other engines know it."""
    told = runtime.image_verbs.inspect(image.name)
    values = {"os": told.get("Os"), "architecture": told.get("Architecture"), "variant": told.get("Variant")}
    platform, image_id = platform_of(values), str(told["Id"])
    if image.build is None and image.pin is not None:
        return image.pin.model_copy(update={"ids": {platform: image_id}})
    digest = runtime.resolve(image).digest
    return Pin(digest=digest, platforms={platform: digest}, ids={platform: image_id})


def _save(images: dict[str, Pin], runtime: Runtime, path: Path, report: Report) -> None:
    """As an OCI layout, or as a docker-archive where the engine cannot, or makes other images of them by that.

    Podman rewrites the configuration of an image that came as Docker's when it saves it as OCI's.
    """
    for form in _FORMS:
        with path.open("w+b") as file:
            try:
                runtime.image_verbs.save(list(images), file, form, report)
            except UnsupportedError:
                continue
            file.seek(0)
            if not archive.wrong(archive.named(file), images):
                return
    facts = runtime.facts()
    raise UnsupportedError(
        f"{facts.engine} {facts.version} saves these images as others", hint="make it on another engine"
    )


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A directory beside the bundle: all of it is as large as that, and a rename makes it whole at once."""
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent) as name:
        yield Path(name)


def _check_engine(runtime: Runtime) -> None:
    if runtime.facts().engine == "swarm":
        hint = "make and apply bundles with engine: docker on a node"
        raise UnsupportedError("a swarm has no images of its own for a bundle", hint=hint)


def _check_platform(bundle: Bundle, runtime: Runtime, where: str) -> None:
    machine = runtime.facts().kernel.get("architecture")
    own = platforms.of_machine(machine) if machine else None
    system, architecture, variant = (*bundle.platform.split("/"), "", "")[:3]
    if not platforms.suits(system, architecture, variant, own):
        what = f"this bundle is for {bundle.platform}, and this host is {own or 'another'}"
        raise UnsupportedError(what, where=where, hint="make one on a host like this")
