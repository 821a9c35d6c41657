"""The images of a store looked up by what a user calls them, and told in the fields of ``docker image inspect``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bayplan.errors import BayplanError, ConflictError, CorruptStateError, DeclarationError, NotFoundError
from bayplan.models.reference import ImageReference
from bayplan.runtime.images import HistoryEntry, ImageSummary
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.native.images.stored import StoredImage

Users = Mapping[str, Sequence[str]]
"""Manifest digest to the names of the containers made from it."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ID = re.compile(r"(?:sha256:)?([0-9a-f]{12,64})")


@dataclass(frozen=True)
class Found:
    """An image that a user named: its digest, the name if it was one, and the index of all platforms of that name."""

    digest: str
    reference: ImageReference | None
    index: str = ""


def reference(text: str) -> ImageReference:
    """A name for an image. Raises DeclarationError for what cannot be one."""
    try:
        return ImageReference.parse(text)
    except ValueError as error:
        raise DeclarationError(str(error), where="image name", hint="such as registry.example/team/app:1.2") from error


def new_name(text: str) -> ImageReference:
    """A name to give to an image: without a digest. Raises DeclarationError."""
    found = reference(text)
    if found.digest:
        raise DeclarationError(f"{text}: a digest cannot be given as a name", hint="name it REPOSITORY[:TAG]")
    return found


class Catalog:
    """Read side of one store. ``users`` says which containers hold which image."""

    def __init__(self, store: ImageStore, layers_root: Path) -> None:
        self.store, self._layers_root = store, layers_root

    def find(self, text: str, users: Users) -> Found:
        """The image of a name, digest or id. A name wins over an id. Raises NotFoundError, ConflictError."""
        if not text.startswith("sha256:"):
            named = reference(text)
            digest = self.store.find(named)
            if digest:
                if named.digest and not named.tag:
                    return Found(digest, None)
                return Found(digest, named, self.store.index(named))
        match = _ID.fullmatch(text)
        hits = sorted(self._of_id(match[1], users)) if match else []
        if len(hits) > 1:
            raise ConflictError(f"{text} is the start of {len(hits)} images' ids", hint=f"they are {', '.join(hits)}")
        if hits:
            return Found(hits[0], None)
        raise NotFoundError(f"image {text} is not on this host", hint="see `bayplan image ls`, or pull it first")

    def names(self) -> dict[str, list[str]]:
        """Manifest digest to the names it has, as people write them."""
        found: dict[str, list[str]] = {}
        for name, digest in self.store.list().items():
            found.setdefault(digest, []).append(ImageReference.parse(name).familiar)
        return found

    def summaries(self, users: Users) -> list[ImageSummary]:
        """Every image that has a name or a container."""
        names = self.names()
        items = [self._summary(digest, names.get(digest, ()), users) for digest in {**names, **users} if digest]
        return sorted(items, key=lambda item: (not item.names, item.names, item.digest))

    def inspect(self, text: str, users: Users) -> dict[str, Any]:
        """One image in the fields of Docker's ``ImageInspect``. Sizes are those of the stored (compressed) layers."""
        found = self.find(text, users)
        stored, config = self.store.get(found.digest), self.configuration(found.digest)
        names = sorted(self.names().get(found.digest, ()))
        repositories = sorted({ImageReference.parse(name).with_digest(found.digest) for name in names}, key=str)
        dirs = [str(self._layers_root / chain.removeprefix("sha256:")) for chain in reversed(stored.chain_ids)]
        return {
            "Id": self.config_digest(found.digest),
            "Digest": found.digest,
            "RepoTags": names,
            "RepoDigests": list(dict.fromkeys(_repository(item) for item in repositories)),
            "Parent": "",
            "Comment": "",
            "Created": config.get("created") or "",
            "Author": config.get("author") or "",
            "Config": config.get("config") or {},
            "Architecture": stored.architecture,
            "Variant": config.get("variant") or "",
            "Os": stored.os,
            "Size": stored.size_bytes,
            "GraphDriver": {"Name": "overlay2", "Data": {"LowerDir": ":".join(dirs)}},
            "RootFS": {"Type": "layers", "Layers": list(stored.diff_ids)},
            "Metadata": {},
            **(self._platforms(found.index) if found.index else {}),
        }

    def _platforms(self, index: str) -> dict[str, Any]:
        """All that a name of several platforms has, in the fields of Docker's API 1.48."""
        document, size = self.store.document(index), self.store.blob(index).stat().st_size
        return {
            "Descriptor": {"mediaType": document.get("mediaType"), "digest": index, "size": size},
            "Manifests": [
                {"ID": item["digest"], "Descriptor": item, "Available": True, "Kind": "image"}
                for item in self.store.parts(index)
            ],
        }

    def history(self, text: str, users: Users) -> list[HistoryEntry]:
        """The image configuration's ``history`` with the layer of each entry; layers without an entry come too."""
        digest = self.find(text, users).digest
        stored, rows = self.store.get(digest), self.configuration(digest).get("history") or []
        layers = iter(stored.layers)
        found = []
        for row in rows if isinstance(rows, list) else ():
            texts = {key: str(row.get(key) or "") for key in ("created", "created_by", "comment")}
            layer = None if row.get("empty_layer") else next(layers, None)
            extra = {"layer": layer.digest, "size_bytes": layer.size} if layer else {}
            found.append(HistoryEntry(**texts, **extra))
        found += [HistoryEntry(layer=layer.digest, size_bytes=layer.size) for layer in layers]
        return found[::-1]

    def config_digest(self, digest: str) -> str:
        """Digest of the image's configuration: what Docker calls its id."""
        found = str((self.store.document(digest).get("config") or {}).get("digest"))
        if not _DIGEST.fullmatch(found):
            raise CorruptStateError(f"image {digest} names no configuration", where=str(self.store.root))
        return found

    def configuration(self, digest: str) -> dict[str, Any]:
        """The image's configuration document."""
        return self.store.document(self.config_digest(digest))

    def _of_id(self, start: str, users: Users) -> Iterator[str]:
        parts: set[str] = set()
        for index in set(self.store.indexes().values()):
            with suppress(BayplanError):  # as below
                parts |= {str(item["digest"]) for item in self.store.parts(index)}
        for digest in {*self.store.list().values(), *users, *parts}:
            ids = [digest]
            with suppress(BayplanError):  # a broken image is still found by its digest
                ids.append(self.config_digest(digest))
            if any(item.removeprefix("sha256:").startswith(start) for item in ids):
                yield digest

    def _summary(self, digest: str, names: Sequence[str], users: Users) -> ImageSummary:
        common: dict[str, Any] = {
            "names": tuple(sorted(names)),
            "digest": digest,
            "containers": tuple(sorted(users.get(digest, ()))),
        }
        try:
            stored, config = self.store.get(digest), self.configuration(digest)
            missing = [layer.digest for layer in stored.layers if not self.store.blob(layer.digest).exists()]
        except BayplanError as error:
            return ImageSummary(**common, defect=error.what)
        return ImageSummary(
            **common,
            id=self.config_digest(digest),
            size_bytes=stored.size_bytes,
            created=_time(config.get("created")),
            platform=platform_of(stored, config),
            defect=f"layer {missing[0]} is missing" if missing else "",
        )


def platform_of(stored: StoredImage, config: Mapping[str, Any]) -> str:
    """``os/architecture[/variant]`` as the image says it."""
    return "/".join(item for item in (stored.os, stored.architecture, str(config.get("variant") or "")) if item)


def _repository(pinned: ImageReference) -> str:
    return ImageReference(pinned.registry, pinned.repository, None, pinned.digest).familiar


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
