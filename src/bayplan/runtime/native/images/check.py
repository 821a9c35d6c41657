"""Every blob and image of a store held against its digest. Fault row 16: a blob that rots, a blob that is gone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from bayplan.errors import BayplanError
from bayplan.runtime.images import Defect
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.protocol import Progress, Report

_PART = ".part-"


def check(store: ImageStore, images: Mapping[str, Sequence[str]], report: Report) -> list[Defect]:
    """What is wrong with ``images`` (digest to names). Blobs whose content is not their digest's are removed.

    They are of no use, and while they are here a pull takes them for the real ones.
    """
    found = []
    with store.in_use():
        for path in sorted(store.blobs.iterdir()):
            if path.name.startswith(_PART):
                continue
            digest = f"sha256:{path.name}"
            with path.open("rb") as file:
                is_sound = hashlib.file_digest(file, "sha256").hexdigest() == path.name
            report(Progress(f"check {path.name[:12]}", path.stat().st_size, path.stat().st_size))
            if not is_sound:
                names = tuple(sorted(_users(store, images, digest)))
                path.unlink()
                found.append(Defect(digest=digest, names=names, what="its content had changed: removed"))
        gone = {item.digest for item in found}
        for image, called in sorted(images.items()):
            lacking = [item for item in _missing(store, image) if item[0] not in gone]
            found += [Defect(digest=blob, names=tuple(sorted(called)), what=what) for blob, what in lacking]
    return found


def _missing(store: ImageStore, digest: str) -> list[tuple[str, str]]:
    try:
        parts = [str(store.document(digest)["config"]["digest"]), *(item.digest for item in store.get(digest).layers)]
    except (BayplanError, KeyError, TypeError) as error:
        return [(digest, f"the image cannot be read: {error}")]
    return [(item, "it is missing") for item in parts if not store.blob(item).exists()]


def _users(store: ImageStore, images: Mapping[str, Sequence[str]], blob: str) -> list[str]:
    found: list[str] = []
    for digest, names in images.items():
        try:
            manifest = store.document(digest)
            parts = {digest, *(str(item["digest"]) for item in [manifest["config"], *manifest["layers"]])}
        except (BayplanError, KeyError, TypeError):
            parts = {digest}
        found += names if blob in parts else ()
    return found
