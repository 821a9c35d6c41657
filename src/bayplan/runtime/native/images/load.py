"""Images read from an OCI image layout or a docker-archive into the store; named only when all of it is sound."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bayplan.errors import CorruptStateError, DeclarationError, UnsupportedError
from bayplan.models.reference import ImageReference
from bayplan.registry import policy
from bayplan.registry.documents import DIGEST, INDEX_TYPES, check_manifest
from bayplan.registry.platforms import choose
from bayplan.runtime.native.images.convert import CONFIG_TYPE, digest_of, encoded, layer_type
from bayplan.runtime.native.images.layers import Layers
from bayplan.runtime.native.images.reading import MAX_DOCUMENT, Source, document, opened
from bayplan.runtime.native.images.save import CONTAINERD_NAME
from bayplan.runtime.native.images.store import MANIFEST_TYPE, REF_NAME, ImageStore
from bayplan.runtime.native.images.stored import layer_ids
from bayplan.runtime.protocol import Progress, Report

_MAX_IMAGES = 1000


@dataclass(frozen=True)
class _Loaded:
    """An image of an archive: the name it has there, and the index of all its platforms, where all are there."""

    name: ImageReference | None
    digest: str
    index: str = ""


@dataclass(frozen=True)
class Loader:
    """Reads into one store. ``policy_file`` as in the settings."""

    store: ImageStore
    layers: Layers
    policy_file: Path | None
    report: Report

    def load(self, path: Path | BinaryIO, name: ImageReference | None) -> dict[str, str]:
        """Name to digest of what is now here. ``name`` is for an archive of one image, instead of its own names.

        Raises CorruptStateError for what is malformed, DeclarationError when an image has no name.
        """
        with self.store.in_use(), opened(path, self.store.blobs) as source:
            where = str(path) if isinstance(path, Path) else "standard input"
            is_layout = source.has("oci-layout")
            if not is_layout and not source.has("manifest.json"):
                raise CorruptStateError("neither an OCI image layout nor a docker-archive", where=where)
            is_directory = isinstance(path, Path) and path.is_dir()
            kind = ("oci" if is_directory else "oci-archive") if is_layout else "docker-archive"
            policy.check_path(kind, path if isinstance(path, Path) else None, self.policy_file)
            found = list((self._layout if is_layout else self._docker)(source))
            if not found:
                raise CorruptStateError("it holds no image", where=where)
            if name and len({item.digest for item in found}) > 1:
                raise DeclarationError("the archive holds several images", hint="leave out the name")
            names = {str(item.name): item for item in found if item.name} if name is None else {str(name): found[0]}
            if not names:
                raise DeclarationError("the archive names no image", where=where, hint="give it one with --name")
            for digest in {item.digest for item in names.values()}:
                # Says at once whether every layer is what the configuration says, and can be unpacked.
                self.layers.ensure(self.store.get(digest), self.store, self.report)
            for text, item in names.items():
                self.store.tag(ImageReference.parse(text), item.digest, index=item.index)
        return {text: item.digest for text, item in names.items()}

    def _layout(self, source: Source) -> Iterator[_Loaded]:
        if _object(document(source, "oci-layout"), "oci-layout").get("imageLayoutVersion") != "1.0.0":
            raise UnsupportedError("an OCI image layout of an unknown version")
        entries = _object(document(source, "index.json"), "index.json").get("manifests")
        if not isinstance(entries, list) or len(entries) > _MAX_IMAGES:
            raise CorruptStateError("index.json lists no manifests, or too many")
        for entry in entries:
            notes = entry.get("annotations") if isinstance(entry, dict) else None
            ref = _name_of(notes if isinstance(notes, dict) else {})
            digest = _digest(entry)
            data = document(source, _blob(digest))
            found = _object(data, digest)
            index = ""
            if entry.get("mediaType") in INDEX_TYPES or "manifests" in found:
                index = self._index(source, digest, data, found)
                digest = choose(found, None, ref or ImageReference("localhost", "archive"), first=bool(index))
                data = document(source, _blob(digest))
                found = _object(data, digest)
            if not _is_image(found, ref or digest):
                continue  # an artifact, an attestation
            self._image(source, digest, data, found)
            yield _Loaded(ref, digest, index)

    def _index(self, source: Source, digest: str, data: bytes, found: dict[str, Any]) -> str:
        """Take all that an index lists when all of it is there and images; its digest, or empty.

        Archives of engines that keep one platform hold the index too, and not what it lists.
        """
        entries = found.get("manifests")
        digests = [_digest(item) for item in entries] if isinstance(entries, list) else []
        if len(digests) > _MAX_IMAGES or not all(source.has(_blob(item)) for item in digests):
            return ""
        parts = {item: document(source, _blob(item)) for item in digests}
        objects = {item: _object(part, item) for item, part in parts.items()}
        if not parts or not all(_is_image(part, item) for item, part in objects.items()):
            return ""
        blobs = [item["digest"] for part in objects.values() for item in (part["config"], *part["layers"])]
        if not all(source.has(_blob(item)) for item in blobs):
            return ""
        for item, part in parts.items():
            self._image(source, item, part, objects[item])
        self.store.write(digest, [data])
        return digest

    def _image(self, source: Source, digest: str, data: bytes, found: dict[str, Any]) -> None:
        for item in (found["config"], *found["layers"]):
            self._take(source, _blob(item["digest"]), item["digest"], item["size"])
        self.store.write(digest, [data])
        self.store.get(digest)

    def _docker(self, source: Source) -> Iterator[_Loaded]:
        rows = _json(document(source, "manifest.json"), "manifest.json")
        if not isinstance(rows, list) or len(rows) > _MAX_IMAGES:
            raise CorruptStateError("manifest.json lists no images, or too many")
        for row in rows:
            fields = row if isinstance(row, dict) else {}
            config, names = fields.get("Config"), fields.get("Layers") or []
            if not isinstance(config, str) or not all(isinstance(name, str) for name in names):
                raise CorruptStateError("manifest.json is malformed")
            data = document(source, config)
            try:
                diff_ids = layer_ids(_object(data, config))
            except (KeyError, TypeError, ValueError) as error:
                raise CorruptStateError(f"{config} is malformed: {error}") from error
            if len(diff_ids) != len(names):
                raise CorruptStateError(f"{config} has {len(diff_ids)} layers, manifest.json {len(names)}")
            layers = [self._layer(source, name) for name in names]
            digest = digest_of(data)
            self.store.write(digest, [data])
            manifest = encoded(
                {
                    "schemaVersion": 2,
                    "mediaType": MANIFEST_TYPE,
                    "config": {"mediaType": CONFIG_TYPE, "digest": digest, "size": len(data)},
                    "layers": layers,
                }
            )
            self.store.write(digest_of(manifest), [manifest])
            tags = fields.get("RepoTags") or []
            for tag in tags or [None]:
                yield _Loaded(_reference(str(tag)) if tag else None, digest_of(manifest))

    def _layer(self, source: Source, name: str) -> dict[str, Any]:
        found, size, head = hashlib.sha256(), 0, b""
        for chunk in source.chunks(name):
            head = head or chunk[:4]
            found.update(chunk)
            size += len(chunk)
        digest = f"sha256:{found.hexdigest()}"
        self._take(source, name, digest, size)
        return {"mediaType": layer_type(head), "digest": digest, "size": size}

    def _take(self, source: Source, name: str, digest: str, size: int) -> None:
        if self.store.blob(digest).exists():
            return
        done = 0

        def tick(count: int) -> None:
            nonlocal done
            done += count
            self.report(Progress(f"load {digest[7:19]}", done, size))

        self.store.write(digest, source.chunks(name), tick, size)


def _is_image(found: dict[str, Any], where: object) -> bool:
    """Whether a manifest is that of an image. Raises CorruptStateError when it is malformed."""
    if "config" not in found or "layers" not in found:
        return False
    check_manifest(found, where)
    kind = str(found["config"].get("mediaType", ""))
    return kind.endswith(("config.v1+json", "container.image.v1+json"))


def _name_of(notes: dict[str, Any]) -> ImageReference | None:
    """A full name; a bare tag, which the specification allows as well, names no image here."""
    for key in (CONTAINERD_NAME, REF_NAME):
        text = str(notes.get(key) or "")
        if ":" in text or "/" in text:
            return _reference(text)
    return None


def _reference(text: str) -> ImageReference:
    try:
        return ImageReference.parse(text)
    except ValueError as error:
        raise CorruptStateError(f"the archive gives an image a bad name: {error}") from error


def _digest(entry: Any) -> str:
    digest = str(entry.get("digest")) if isinstance(entry, dict) else ""
    if not DIGEST.fullmatch(digest):
        raise CorruptStateError(f"index.json is malformed: {digest!r} is no digest")
    return digest


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _object(data: bytes, name: str) -> dict[str, Any]:
    found = _json(data, name)
    if not isinstance(found, dict):
        raise CorruptStateError(f"{name} is no object")
    if DIGEST.fullmatch(name) and digest_of(data) != name:
        raise CorruptStateError(f"blob {name} has another content")
    return found


def _json(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CorruptStateError(f"{name} is not JSON of at most {MAX_DOCUMENT} bytes") from error
