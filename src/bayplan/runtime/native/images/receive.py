"""An image taken from another host, blob by blob; named only when all of it is here and sound."""

from __future__ import annotations

from collections.abc import Sequence

from bayplan.errors import CorruptStateError, DeclarationError
from bayplan.models.reference import ImageReference
from bayplan.registry.documents import DIGEST, check_manifest
from bayplan.runtime.images import Ask, Blob
from bayplan.runtime.native.images.layers import Layers
from bayplan.runtime.native.images.store import ImageStore


def receive(  # noqa: PLR0917 - the order of the signature is the order of the work
    store: ImageStore, layers: Layers, ref: ImageReference, manifest: str, index: str, blobs: Sequence[Blob], ask: Ask
) -> int:
    """Ask for what is missing and name the image; how many blobs came. Raises CorruptStateError."""
    for item in (manifest, *([index] if index else [])):
        if not DIGEST.fullmatch(item) or item not in {one.digest for one in blobs}:
            raise DeclarationError("the manifest is not among the blobs", where="request")
    with store.in_use():
        sizes = {item.digest: item.size for item in blobs}
        missing = [digest for digest in sizes if not store.blob(digest).exists()]
        for digest, chunks in ask(missing):
            store.write(digest, chunks, size=sizes[digest])
        parts = [str(item["digest"]) for item in store.parts(index)] if index else [manifest]
        if manifest not in parts:
            raise CorruptStateError(f"{manifest} is not in the index {index}", where=str(ref))
        for part in parts:
            _check(store, ref, part)
        layers.ensure(store.get(manifest), store)
        store.tag(ref, manifest, index=index)
    return len(missing)


def _check(store: ImageStore, ref: ImageReference, digest: str) -> None:
    """All of an image is here. Raises CorruptStateError."""
    document = store.document(digest)
    if "config" not in document or "layers" not in document:
        raise CorruptStateError(f"{digest} is no manifest of an image")
    check_manifest(document, ref)
    absent = [layer.digest for layer in store.get(digest).layers if not store.blob(layer.digest).exists()]
    if absent:
        raise CorruptStateError(f"layer {absent[0]} was not offered", where=str(ref))
