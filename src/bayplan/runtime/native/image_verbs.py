"""The verbs of ``bayplan image`` on this core: its store, layers and containers put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bayplan.errors import ConflictError, DeclarationError
from bayplan.models import ImageReference
from bayplan.runtime.images import HistoryEntry, ImageSummary, Pushed
from bayplan.runtime.native.containers import Containers
from bayplan.runtime.native.images.catalog import Catalog, Found, new_name
from bayplan.runtime.native.images.images import Images
from bayplan.runtime.native.images.push import push
from bayplan.runtime.protocol import Report, silent


class NativeImageVerbs:
    """Implements ``runtime.images.ImageVerbs``."""

    def __init__(self, images: Images, containers: Containers) -> None:
        self.images, self.containers = images, containers
        self.store = images.store
        self.catalog = Catalog(images.store, images.layers.root)

    def summaries(self) -> list[ImageSummary]:
        """All images."""
        return self.catalog.summaries(self._users())

    def inspect(self, name: str) -> dict[str, Any]:
        """In Docker's fields."""
        return self.catalog.inspect(name, self._users())

    def history(self, name: str) -> list[HistoryEntry]:
        """Newest first."""
        return self.catalog.history(name, self._users())

    def tag(self, source: str, target: str) -> str:
        """Another name; under the collector's lease, so that the image cannot go meanwhile."""
        wanted = new_name(target)
        with self.store.in_use():
            digest = self.catalog.find(source, self._users()).digest
            self.store.get(digest)
            self.store.tag(wanted, digest)
        return digest

    def remove(self, names: Sequence[str]) -> list[str]:
        """Everything is checked before the first name goes."""
        users, held = self._users(), self.store.list()
        gone: set[str] = set()
        for name in names:
            found = self.catalog.find(name, users)
            gone |= {str(found.reference)} if found.reference else self._only_name(name, found, held)
        for digest in {held[name] for name in gone if name in held}:
            left = [name for name, other in held.items() if other == digest and name not in gone]
            if users.get(digest) and not left:
                name = next(item for item in gone if held.get(item) == digest)
                raise ConflictError(
                    f"image {ImageReference.parse(name).familiar} is used by containers {', '.join(users[digest])}",
                    hint="remove those first",
                )
        for name in sorted(gone):
            self.images.forget(ImageReference.parse(name))
        self.images.collect(users)
        return [ImageReference.parse(name).familiar for name in sorted(gone)]

    def push(self, name: str, report: Report = silent) -> Pushed:
        """By a name only: it says where to."""
        found = self.catalog.find(name, self._users())
        if found.reference is None:
            raise DeclarationError(f"{name} names no repository", hint="tag it, then push it by that name")
        return push(self.store, self.images.client, found.reference, found.digest, report)

    def _only_name(self, text: str, found: Found, held: dict[str, str]) -> set[str]:
        names = [name for name, digest in held.items() if digest == found.digest]
        if len(names) > 1:
            said = ", ".join(ImageReference.parse(name).familiar for name in names)
            raise ConflictError(f"{text} has {len(names)} names", hint=f"remove it by name: {said}")
        if not names:
            used = ", ".join(self._users().get(found.digest, ()))
            raise ConflictError(f"{text} has no name and is used by containers {used}", hint="remove those first")
        return set(names)

    def _users(self) -> dict[str, list[str]]:
        rows = self.containers.records.database.query("SELECT image_digest, name FROM containers ORDER BY name")
        found: dict[str, list[str]] = {}
        for row in rows:
            found.setdefault(str(row[0]), []).append(str(row[1]))
        return found
