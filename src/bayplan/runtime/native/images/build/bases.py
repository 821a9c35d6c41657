"""The images a Dockerfile starts from: what they are, found by reading only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bayplan.errors import CorruptStateError, DeclarationError, Location, NotFoundError
from bayplan.models.image import Pin
from bayplan.models.reference import ImageReference
from bayplan.registry.platforms import pinned
from bayplan.runtime.native.images.build import platforms
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.native.images.stored import Descriptor, descriptor, image_config, layer_ids

if TYPE_CHECKING:
    from bayplan.registry.client import RegistryClient

FOREIGN = "io.bayplan.base-of"
"""Annotation of an image that is here for another platform, beside the one that has its name."""
_OBJECTS = ("Labels", "Volumes", "ExposedPorts")
_LISTS = ("Env", "OnBuild", "Shell")


@dataclass(frozen=True)
class Base:
    """An image to start from: the digest of its manifest, its configuration document and its layers."""

    reference: ImageReference
    digest: str
    document: dict[str, Any]
    layers: tuple[Descriptor, ...]
    note: str = ""
    """For another platform than its name stands for here: what to keep with it, so that it is found again."""

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """Digests of the layers' plain archives, lowest first."""
        return layer_ids(self.document)


class Bringing:
    """Brings base images, each once, whichever stage of a build asks first; independent ones at the same time."""

    def __init__(self, bring: Callable[[Base], None]) -> None:
        self._bring = bring
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._here: set[str] = set()

    def __call__(self, base: Base) -> None:
        """Return when it is here."""
        with self._lock:
            own = self._locks.setdefault(base.digest, threading.Lock())
        with own:
            if base.digest not in self._here:
                self._bring(base)
                self._here.add(base.digest)


class Bases:
    """Looks images up for one build, each once: here, else in the registry; there first with ``newest``."""

    def __init__(
        self,
        store: ImageStore,
        client: Callable[[], RegistryClient],
        *,
        newest: bool,
        pins: Mapping[str, Pin] | None = None,
    ) -> None:
        """``pins`` hold images, by their full names, to digests."""
        self._store, self._client, self._newest = store, client, newest
        self._pins = pins or {}
        self._known: dict[str, Base] = {}
        self.asked: dict[str, None] = {}
        """Full names of the images that were looked up."""

    def get(self, spelling: str, where: Location, platform: str = "") -> Base:
        """The image for a platform; empty for the host's, or whatever is here under the name.

        Raises DeclarationError for a bad name, NotFoundError for an image that is nowhere, CorruptStateError for one
        that is malformed; with file and line.
        """
        try:
            reference = ImageReference.parse(spelling)
        except ValueError as error:
            raise DeclarationError(str(error), where=where) from error
        self.asked[str(reference)] = None
        key = f"{reference} {platform}"
        found = self._known.get(key)
        if found is None:
            try:
                found = self._known[key] = self._find(reference, platform)
            except NotFoundError as error:
                raise NotFoundError(f"base image: {error.what}", where=where, hint=error.hint) from error
            except CorruptStateError as error:
                raise CorruptStateError(f"base image: {error.what}", where=where, hint=error.hint) from error
        return found

    def _pinned(self, reference: ImageReference, digest: str) -> Base:
        """The image of a digest, under its name when that stands for it."""
        try:
            return self._stored(reference, digest)
        except (NotFoundError, CorruptStateError):
            exact = reference.with_digest(digest)
            _, _, manifest = self._client().select(exact)
            return _base(exact, digest, manifest, self._client().config(exact, manifest))

    def _find(self, reference: ImageReference, platform: str) -> Base:
        if pin := self._pins.get(str(reference)):
            return self._pinned(reference, pinned(pin, platform or None, reference))
        local = self._local(reference, platform)
        if local and not self._newest:
            return self._stored(reference, local)
        digest, _, manifest = self._client().select(reference, platform or None)
        if digest == local:
            return self._stored(reference, local)
        note = ""
        if platform and not self._takes_name(reference, platform):
            # The name is that of the host's platform: what runs here must not become another's.
            note, reference = f"{reference} {platform}", reference.with_digest(digest)
        document = self._client().config(reference.with_digest(digest), manifest)
        return replace(_base(reference, digest, manifest, document), note=note)

    def _local(self, reference: ImageReference, platform: str) -> str | None:
        """The digest of what is here of it for the platform: under its own name, or beside that of another platform."""
        local = self._store.find(reference)
        if not platform or (local and platforms.suits(self._config(local), platform)):
            return local
        return self._store.noted(FOREIGN, f"{reference} {platform}")

    def _takes_name(self, reference: ImageReference, platform: str) -> bool:
        """Whether an image for the platform may have the name here."""
        named = self._store.find(reference)
        return platform == platforms.host() and (named is None or platforms.suits(self._config(named), platform))

    def _config(self, digest: str) -> dict[str, Any]:
        return self._store.document(self._store.document(digest)["config"]["digest"])

    def _stored(self, reference: ImageReference, digest: str) -> Base:
        pinned = reference if self._store.find(reference) == digest else reference.with_digest(digest)
        return _base(pinned, digest, self._store.document(digest), self._config(digest))


def _base(reference: ImageReference, digest: str, manifest: dict[str, Any], document: dict[str, Any]) -> Base:
    try:
        base = Base(reference, digest, document, tuple(map(descriptor, manifest["layers"])))
        if len(base.diff_ids) != len(base.layers):
            raise ValueError(f"{len(base.layers)} layers, {len(base.diff_ids)} diff ids")  # noqa: TRY301 - one message
        _check(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptStateError(f"image {reference} is malformed: {error}") from error
    return base


def _check(document: Mapping[str, Any]) -> None:
    """See that instructions can go on from what a stranger's image says of itself. Raises ValueError."""
    config = document.get("config") or {}
    image_config(config)
    for name in _OBJECTS:
        if not isinstance(config.get(name) or {}, dict):
            raise ValueError(f"{name} is no object")  # noqa: TRY004 - one error for whatever is wrong
    for name in _LISTS:
        found = config.get(name) or []
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise ValueError(f"{name} is no list of texts")
    history = document.get("history") or []
    if not isinstance(history, list) or not all(isinstance(item, dict) for item in history):
        raise ValueError("history is no list of objects")
