"""Bring a stored image to its registry: missing blobs in parallel, the manifest last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bayplan.errors import DeclarationError, NotFoundError
from bayplan.models.reference import ImageReference
from bayplan.registry.client import RegistryClient
from bayplan.registry.push import Pusher
from bayplan.runtime.images import Pushed
from bayplan.runtime.native.images.convert import INDEX_TYPE, digest_of, encoded, index_entry
from bayplan.runtime.native.images.store import MANIFEST_TYPE, ImageStore
from bayplan.runtime.native.images.stored import Descriptor, descriptor
from bayplan.runtime.protocol import Progress, Report

SOURCE = "io.bayplan.distribution.source"
"""Kept with a name: the registry and repository that is known to hold all blobs of the image."""


def push(store: ImageStore, client: RegistryClient, ref: ImageReference, digest: str, report: Report) -> Pushed:
    """Push an image under ``ref``, all platforms that this has.

    Raises AccessDeniedError, UnavailableError, NotFoundError for a missing blob.
    """
    with store.in_use():
        index = store.index(ref) if store.find(ref) == digest else ""
        if index:
            digests = [str(item["digest"]) for item in store.parts(index)]
            pushed = _listed(store, client, ref, digests, store.blob(index).read_bytes(), report)
        else:
            pushed = _parts(store, client, ref, digest, report)
        if store.find(ref) == digest:
            store.tag(ref, digest, {**store.annotations(ref), SOURCE: ref.name}, index=index)
    return pushed


def push_index(
    store: ImageStore, client: RegistryClient, ref: ImageReference, digests: Sequence[str], report: Report
) -> Pushed:
    """Push several images by digest, and under ``ref`` an index of them (image specification, "Image Index").

    Raises DeclarationError for two images of one platform, and as ``push``.
    """
    with store.in_use():
        entries: dict[str, dict[str, Any]] = {}
        for digest in digests:
            entry = index_entry(store, digest)
            platform = "/".join(entry["platform"].values())
            if platform in entries:
                raise DeclarationError(
                    f"two of the images are for {platform}", hint="an index has one for each platform"
                )
            entries[platform] = entry
        data = encoded({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": list(entries.values())})
        return _listed(store, client, ref, digests, data, report)


def _listed(  # noqa: PLR0917 - the order of the work
    store: ImageStore, client: RegistryClient, ref: ImageReference, digests: Sequence[str], index: bytes, report: Report
) -> Pushed:
    """Images by digest, and then the index that lists them under the tag of ``ref``."""
    sent = [
        _parts(store, client, ImageReference(ref.registry, ref.repository, None, digest), digest, report)
        for digest in digests
    ]
    Pusher(client, ref).manifest(index, INDEX_TYPE, digest_of(index))
    return Pushed(
        name=ref.familiar,
        digest=digest_of(index),
        uploaded=sum(item.uploaded for item in sent),
        mounted=sum(item.mounted for item in sent),
        present=sum(item.present for item in sent),
    )


def _parts(store: ImageStore, client: RegistryClient, ref: ImageReference, digest: str, report: Report) -> Pushed:
    """Blobs, then the manifest under the tag of ``ref``, or its digest."""
    manifest, image = store.document(digest), store.get(digest)
    blobs = {item.digest: item for item in (*image.layers, descriptor(manifest["config"]))}
    for item in blobs.values():
        if not store.blob(item.digest).is_file():
            raise NotFoundError(f"blob {item.digest} of {ref.familiar} is not here", hint="pull the image again")
    pusher = Pusher(client, ref)
    with ThreadPoolExecutor(client.limits.parallel, thread_name_prefix="push") as pool:
        jobs = [pool.submit(_bring, store, pusher, item, report) for item in blobs.values()]
        try:
            ways = [job.result() for job in jobs]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    kind = str(manifest.get("mediaType") or MANIFEST_TYPE)
    pusher.manifest(store.blob(digest).read_bytes(), kind, digest)
    counts = {way: ways.count(way) for way in ("uploaded", "mounted", "present")}
    return Pushed(name=ref.familiar, digest=digest, **counts)


def _bring(store: ImageStore, pusher: Pusher, blob: Descriptor, report: Report) -> str:
    label = f"push {blob.digest[7:19]}"
    if pusher.has(blob.digest):
        way = "present"
    elif any(pusher.mount(blob.digest, source) for source in _sources(store, pusher.ref, blob.digest)):
        way = "mounted"
    else:
        pusher.upload(blob.digest, store.blob(blob.digest), lambda done: report(Progress(label, done, blob.size)))
        way = "uploaded"
    report(Progress(label, blob.size, blob.size))
    return way


def _sources(store: ImageStore, ref: ImageReference, blob: str) -> Iterator[str]:
    """Other repositories of the same registry from or to which an image with this blob went."""
    seen = set()
    for name, digest in store.list().items():
        known = store.annotations(ImageReference.parse(name)).get(SOURCE, "")
        registry, _, repository = known.partition("/")
        if registry != ref.registry or repository in ("", ref.repository) or repository in seen:
            continue
        manifest = store.document(digest)
        if blob in [manifest["config"]["digest"], *(item["digest"] for item in manifest["layers"])]:
            seen.add(repository)
            yield repository
