"""Whether what is stored of an image is what its digests say (OCI image specification, "Verification")."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from bayplan.errors import BayplanError
from bayplan.runtime.native.images.layers import Layers
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.native.images.stored import Descriptor

_PIECE = 1 << 20


def damage(store: ImageStore, digest: str, *, deep: bool, layers: Layers | None = None) -> Iterator[tuple[str, str]]:
    """Blobs of an image, or of all of an index, that are gone or changed, each with what is wrong. Reads only.

    Documents are always read whole; layers only with ``deep``, else their size is looked at. With ``layers``, a layer
    that is unpacked there needs no blob.
    """
    try:
        manifest = store.document(digest)
        parts = store.parts(digest) if "manifests" in manifest else []
    except BayplanError as error:
        yield digest, error.what
        return
    if "manifests" in manifest:
        for item in parts:
            yield from damage(store, str(item["digest"]), deep=deep, layers=layers)
        return
    try:
        store.document(str(manifest["config"]["digest"]))
        image = store.get(digest)
    except BayplanError as error:
        yield str(manifest["config"]["digest"]), error.what
        return
    for layer, chain in zip(image.layers, image.chain_ids, strict=True):
        unpacked = layers is not None and layers.path(chain).is_dir()
        if unpacked and not deep:
            continue
        what = blob_damage(store.blob(layer.digest), layer, deep=deep)
        if what and not (unpacked and what == _GONE):
            yield layer.digest, what


_GONE = "is gone"


def blob_damage(path: Path, wanted: Descriptor, *, deep: bool) -> str:
    """What is wrong with a blob; empty when nothing is."""
    try:
        size = path.stat().st_size
        if size != wanted.size:
            return f"has {size} bytes, not {wanted.size}"
        if deep and f"sha256:{_sum(path)}" != wanted.digest:
            return "was changed"
    except FileNotFoundError:
        return _GONE
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""


def discard(store: ImageStore, digest: str) -> list[str]:
    """Remove what was changed, so that a pull brings it anew; blobs are only ever named by what is in them."""
    found = [blob for blob, _ in damage(store, digest, deep=True)]
    for blob in found:
        store.blob(blob).unlink(missing_ok=True)
    return found


def _sum(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            found.update(piece)
    return found.hexdigest()
