"""Manifests and indexes of registries, checked before anything in them is used."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from bayplan.errors import CorruptStateError
from bayplan.models.reference import ImageReference

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MAX_DOCUMENT = 8 << 20
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def read(data: bytes, content_type: str, ref: ImageReference) -> dict[str, Any]:
    """A manifest or an index as it was sent. Raises CorruptStateError."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CorruptStateError("the manifest is not JSON", where=str(ref)) from error
    if not isinstance(document, dict):
        raise CorruptStateError("the manifest is not an object", where=str(ref))
    _check_kind(document, content_type, ref)
    return document


def is_index(document: Mapping[str, Any]) -> bool:
    """Whether it lists manifests."""
    return document.get("mediaType") in INDEX_TYPES or "manifests" in document


def check_manifest(manifest: Mapping[str, Any], ref: object) -> None:
    """Every digest and size before anything is asked for by them. Raises CorruptStateError."""
    layers = manifest["layers"]
    for item in [manifest["config"], *(layers if isinstance(layers, list) else [None])]:
        fields = item if isinstance(item, dict) else {}
        size = fields.get("size")
        if not DIGEST.fullmatch(str(fields.get("digest"))) or type(size) is not int or size < 0:
            raise CorruptStateError("the manifest is malformed: no digest or size", where=str(ref))
    if manifest["config"]["size"] > MAX_DOCUMENT:
        raise CorruptStateError(f"its configuration is larger than {MAX_DOCUMENT} bytes", where=str(ref))


def _check_kind(document: Mapping[str, Any], content_type: str, ref: ImageReference) -> None:
    """One reading only: what is a manifest to one client and an index to another is refused (CVE-2021-41190)."""
    said, sent = document.get("mediaType"), content_type.partition(";")[0].strip()
    if said and said != sent:
        raise CorruptStateError(f"the registry sent {sent or 'no type'}, the document says {said}", where=str(ref))
    kind = said or sent
    is_image, listing = "config" in document or "layers" in document, "manifests" in document
    if (is_image and (listing or kind in INDEX_TYPES)) or (listing and kind in MANIFEST_TYPES):
        raise CorruptStateError("it can be read as a manifest and as an index", where=str(ref))
