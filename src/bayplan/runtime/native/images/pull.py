"""Bring an image into the store: missing blobs in parallel, the manifest after them, its name last."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bayplan.errors import CorruptStateError
from bayplan.models.reference import ImageReference
from bayplan.registry.client import RegistryClient
from bayplan.runtime.native.images.push import SOURCE
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.native.images.stored import Descriptor, descriptor
from bayplan.runtime.protocol import Progress, Report, silent

_PARALLEL = 4


def pull(  # noqa: PLR0917 - the order of the signature is the order of the work
    store: ImageStore,
    client: RegistryClient,
    ref: ImageReference,
    digest: str | None = None,
    platform: str | None = None,
    report: Report = silent,
) -> str:
    """Pull ``ref``, or exactly ``digest`` of its repository, and name it ``ref``. Returns the manifest's digest.

    A cut pull leaves whole blobs, which the next one uses. Raises NotFoundError, UnavailableError, CorruptStateError.
    """
    with store.in_use():
        return _pull(store, client, ref, ref.with_digest(digest) if digest else ref, platform, report)


def _pull(  # noqa: PLR0917 - as above
    store: ImageStore,
    client: RegistryClient,
    ref: ImageReference,
    source: ImageReference,
    platform: str | None,
    report: Report,
) -> str:
    found, data, manifest = client.select(source, platform)
    try:
        blobs = {item.digest: item for item in map(descriptor, [manifest["config"], *manifest["layers"]])}
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptStateError(f"the manifest is malformed: {error}", where=str(ref)) from error
    missing = [blob for blob in blobs.values() if not store.blob(blob.digest).exists()]
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="pull") as pool:
        jobs: list[Any] = [pool.submit(_fetch, store, client, source, blob, report) for blob in missing]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    store.write(found, [data])
    store.get(found)
    store.tag(ref, found, {SOURCE: source.name})
    return found


def _fetch(store: ImageStore, client: RegistryClient, ref: ImageReference, blob: Descriptor, report: Report) -> None:
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        report(Progress(f"pull {blob.digest[7:19]}", done, blob.size))

    store.write(blob.digest, client.fetch_blob(ref, blob.digest, blob.size), progress)
