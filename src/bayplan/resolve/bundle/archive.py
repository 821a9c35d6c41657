"""What an archive of images says that it holds, read without taking anything of it.

Docker reads ``manifest.json``, others ``index.json`` (OCI image layout): where both are there, both must name the same
images.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Mapping
from typing import IO, Any, BinaryIO, cast

from bayplan.models import ImageReference, Pin
from bayplan.runtime.native.images.reading import GuardedInfo
from bayplan.values import frozen

_MAX_DOCUMENT = 8 << 20
_MAX_MEMBERS = 100_000
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


MALFORMED = (tarfile.TarError, OverflowError, RecursionError, ValueError, KeyError, TypeError, AttributeError)
"""What reading a malformed one raises."""


@frozen
class Named:
    """What one name stands for: the digest of its manifest or index (empty in a docker-archive), and its images'."""

    manifest: str
    configs: frozenset[str]


def named(file: BinaryIO) -> dict[str, Named]:
    """Full names to what they stand for. Raises ValueError and its like, TarError for what is malformed."""
    with tarfile.open(fileobj=file, mode="r:", tarinfo=GuardedInfo) as tar:
        documents = _Documents(tar)
        docker = _docker(documents.get("manifest.json") or ())
        layout = _layout(documents)
    if docker and layout and set(docker) != set(layout):
        raise ValueError("its two lists of images differ")
    for name in docker.keys() & layout.keys():
        if not docker[name] <= layout[name].configs:
            raise ValueError(f"its two lists say otherwise what {name} is")
    return layout or {name: Named("", configs) for name, configs in docker.items()}


def wrong(found: Mapping[str, Named], pins: Mapping[str, Pin]) -> str:
    """What of an archive is not as it was pinned, as words; empty when it has just those images."""
    if set(found) != set(pins):
        return f"other images than are declared: {min(set(found) ^ set(pins))[:200]}"
    for name, one in found.items():
        manifests, ids = {pins[name].digest, *pins[name].platforms.values()}, set(pins[name].ids.values())
        if not (one.manifest in manifests or (one.configs and one.configs <= ids)):
            return f"another image under the name {name}"
    return ""


def _docker(rows: Any) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for row in rows:
        config = "sha256:" + str(row["Config"]).rpartition("/")[2].removesuffix(".json")
        for tag in row["RepoTags"] or ():
            name = str(ImageReference.parse(tag))
            if found.setdefault(name, frozenset({config})) != {config}:
                raise ValueError(f"{name} stands for several images")
    return found


def _layout(documents: _Documents) -> dict[str, Named]:
    found: dict[str, Named] = {}
    for entry in (documents.get("index.json") or {"manifests": ()})["manifests"]:
        notes = entry.get("annotations") or {}
        for text in dict.fromkeys(str(notes[key]) for key in _NAMES if ":" in str(notes.get(key, ""))):
            name = str(ImageReference.parse(text))
            if name in found:
                raise ValueError(f"{name} stands for several images")
            digest = str(entry["digest"])
            found[name] = Named(digest, frozenset(_configs(documents, digest)))
    return found


def _configs(documents: _Documents, digest: str) -> list[str]:
    """Digests of the configurations of a manifest, or of those of an index that are in the archive."""
    document = documents.blob(digest)
    if document is None:
        raise ValueError(f"there is no {digest}")
    if "manifests" not in document:
        return [str(document["config"]["digest"])]
    parts = [documents.blob(str(item["digest"])) for item in document["manifests"]]
    return [str(part["config"]["digest"]) for part in parts if part is not None and "config" in part]


class _Documents:
    """Small files of the archive."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._infos: dict[str, tarfile.TarInfo] = {}
        for count, info in enumerate(tar):
            if count >= _MAX_MEMBERS or (info.name in self._infos and not info.isdir()):
                raise ValueError(f"{info.name[:200]!r} is there twice, or there are too many")
            self._infos[info.name] = info

    def get(self, name: str) -> Any:
        """Its content as JSON; None when it is not there."""
        data = self._read(name)
        return None if data is None else json.loads(data)

    def blob(self, digest: str) -> Mapping[str, Any] | None:
        """A document by its digest, which must be its content's."""
        data = self._read(f"blobs/sha256/{digest.removeprefix('sha256:')}")
        if data is None:
            return None
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise ValueError(f"blob {digest} has another content")
        found = json.loads(data)
        if not isinstance(found, dict):
            raise TypeError(f"blob {digest} is no object")
        return found

    def _read(self, name: str) -> bytes | None:
        info = self._infos.get(name)
        if info is None:
            return None
        if not info.isreg() or info.size > _MAX_DOCUMENT:
            raise ValueError(f"{name} is no small file")
        return cast("IO[bytes]", self._tar.extractfile(info)).read()
