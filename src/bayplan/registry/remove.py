"""What a name has in a registry taken away again, by the OCI distribution specification, "Deleting manifests"."""

from __future__ import annotations

import hashlib

from bayplan.models.reference import ImageReference
from bayplan.registry import documents
from bayplan.registry.client import RegistryClient
from bayplan.registry.documents import INDEX_TYPES, MANIFEST_TYPES, MAX_DOCUMENT
from bayplan.registry.failures import failure
from bayplan.registry.tokens import Scope

_GONE = frozenset({200, 202, 204})
"""What registries answer a deletion with; the specification has 202."""


def remove(client: RegistryClient, ref: ImageReference, digest: str) -> bool:
    """Delete what the name has if that is the manifest ``digest``, or an index with it; whether it was there.

    By its digest, as registries let no tag be deleted alone: each tag of the repository that means it goes too. A
    mirror is never written to. Raises UnsupportedError when the registry deletes nothing, AccessDeniedError.
    """
    end = client.endpoints(ref)[-1]
    place, scope = f"{end.base}/v2/{end.repository}/manifests", Scope(end.repository, "pull,delete")
    accepted = {"Accept": ", ".join(MANIFEST_TYPES + INDEX_TYPES)}
    response = client.transport.request(end, "GET", f"{place}/{ref.tag or 'latest'}", scope, headers=accepted)
    if response.status == 404:
        response.close()
        return False
    if response.status != 200:
        raise failure(response, f"image {ref}", end.host)
    data = client.transport.document(response, MAX_DOCUMENT)
    response.close()
    found = f"sha256:{hashlib.sha256(data).hexdigest()}"
    document = documents.read(data, response.headers.get("Content-Type", ""), ref)
    parts = document.get("manifests") if documents.is_index(document) else None
    if digest not in (found, *(one.get("digest") for one in parts or () if isinstance(one, dict))):
        return False
    response = client.transport.request(end, "DELETE", f"{place}/{found}", scope)
    if response.status in {*_GONE, 404}:
        response.close()
        return response.status != 404
    refused = response.status
    error = failure(response, f"image {ref} is not deleted", end.host)
    if refused == 405:
        error.hint = "its owner has to allow it (distribution: storage.delete.enabled)"
    raise error
