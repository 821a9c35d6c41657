"""The images a Dockerfile starts from: what they are, found by reading only."""

from __future__ import annotations

import json
import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayplan.errors import CorruptStateError, DeclarationError, Location, NotFoundError
from bayplan.models.reference import ImageReference
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.native.images.stored import Descriptor, descriptor, layer_ids

if TYPE_CHECKING:
    from bayplan.registry.client import RegistryClient

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def host_architecture() -> str:
    """The machine's architecture in Go's names (OCI image configuration, "architecture")."""
    machine = platform.machine()
    return _MACHINES.get(machine, machine)


@dataclass(frozen=True)
class Base:
    """An image to start from: the digest of its manifest, its configuration document and its layers."""

    reference: ImageReference
    digest: str
    document: dict[str, Any]
    layers: tuple[Descriptor, ...]

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

    def __init__(self, store: ImageStore, client: Callable[[], RegistryClient], *, newest: bool) -> None:
        self._store, self._client, self._newest = store, client, newest
        self._known: dict[str, Base] = {}

    def get(self, spelling: str, where: Location) -> Base:
        """Raises DeclarationError for a bad name, NotFoundError for an image that is nowhere; with file and line."""
        try:
            reference = ImageReference.parse(spelling)
        except ValueError as error:
            raise DeclarationError(str(error), where=where) from error
        found = self._known.get(str(reference))
        if found is None:
            try:
                found = self._known[str(reference)] = self._find(reference)
            except NotFoundError as error:
                raise NotFoundError(f"base image: {error.what}", where=where, hint=error.hint) from error
        return found

    def _find(self, reference: ImageReference) -> Base:
        local = self._store.find(reference)
        if local and not self._newest:
            return self._stored(reference, local)
        digest, _, manifest = self._client().select(reference)
        if digest == local:
            return self._stored(reference, local)
        config = descriptor(manifest["config"])
        data = b"".join(self._client().fetch_blob(reference.with_digest(digest), config.digest, config.size))
        return _base(reference, digest, manifest, json.loads(data))

    def _stored(self, reference: ImageReference, digest: str) -> Base:
        manifest = self._store.document(digest)
        return _base(reference, digest, manifest, self._store.document(manifest["config"]["digest"]))


def _base(reference: ImageReference, digest: str, manifest: dict[str, Any], document: dict[str, Any]) -> Base:
    try:
        base = Base(reference, digest, document, tuple(map(descriptor, manifest["layers"])))
        if len(base.diff_ids) != len(base.layers):
            raise ValueError(f"{len(base.layers)} layers, {len(base.diff_ids)} diff ids")  # noqa: TRY301 - one message
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptStateError(f"image {reference} is malformed: {error}") from error
    return base
