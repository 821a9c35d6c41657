"""What a registry has under a name: the digest of the name, and that of each platform's manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.errors import CorruptStateError
from bayplan.models import ImageReference, Pin
from bayplan.registry import documents
from bayplan.registry.client import RegistryClient


def pin(client: RegistryClient, reference: ImageReference) -> Pin:
    """What the name stands for now. Raises NotFoundError, UnavailableError, CorruptStateError."""
    digest, _, document = client.manifest(reference)
    if documents.is_index(document):
        return Pin(digest=digest, platforms=_listed(document, reference))
    if "config" not in document or "layers" not in document:
        raise CorruptStateError("not an image manifest that can be pulled", where=str(reference))
    documents.check_manifest(document, reference)
    return Pin(digest=digest, platforms={platform_of(client.config(reference, document)): digest})


def platform_of(values: Mapping[str, Any]) -> str:
    """``os/architecture[/variant]`` of a configuration, or of a descriptor's platform."""
    parts = (values.get("os") or "linux", values.get("architecture") or "unknown", values.get("variant"))
    return "/".join(str(part) for part in parts if part)


def _listed(index: Mapping[str, Any], reference: ImageReference) -> dict[str, str]:
    """The images of an index. What is for no platform (attestations) is none; the first of a platform counts."""
    found: dict[str, str] = {}
    entries = index.get("manifests")
    for entry in entries if isinstance(entries, list) else ():
        own = entry.get("platform") if isinstance(entry, dict) else None
        if not isinstance(own, dict) or own.get("os") in (None, "unknown"):
            continue
        digest = str(entry.get("digest"))
        if not documents.DIGEST.fullmatch(digest):
            raise CorruptStateError(f"the index is malformed: {digest!r} is no digest", where=str(reference))
        found.setdefault(platform_of(own), digest)
    if not found:
        raise CorruptStateError("the index lists no image", where=str(reference))
    return found
