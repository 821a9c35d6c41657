"""Bring an image into the store: blobs and their unpacking in parallel, its name last."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from typing import Any

from bayplan.errors import UnavailableError
from bayplan.models.reference import ImageReference
from bayplan.registry.client import RegistryClient
from bayplan.runtime.native.images.layers import PARALLEL, Layers
from bayplan.runtime.native.images.push import SOURCE
from bayplan.runtime.native.images.soundness import blob_damage
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.native.images.stored import Descriptor, StoredImage, descriptor
from bayplan.runtime.native.images.unpacking import Unpacking
from bayplan.runtime.protocol import Progress, Report, silent

_DOWNLOADS = 4


def pull(  # noqa: PLR0917 - the order of the signature is the order of the work
    store: ImageStore,
    layers: Layers,
    client: RegistryClient,
    ref: ImageReference,
    digest: str | None = None,
    platform: str | None = None,
    report: Report = silent,
) -> str:
    """Pull ``ref``, or exactly ``digest`` of its repository, and name it ``ref``. Returns the manifest's digest.

    Every layer is unpacked, and thereby checked, before the name is given. A cut pull leaves whole blobs, which the
    next one uses. Raises NotFoundError, UnavailableError, CorruptStateError, UnsupportedError (device nodes).
    """
    source = ref.with_digest(digest) if digest else ref
    with store.in_use():
        found, data, manifest = client.select(source, platform)
        config = descriptor(manifest["config"])
        if blob_damage(store.blob(config.digest), config, deep=True):
            _fetch(store, client, source, config, report)
        # Before the layers, so that documents which do not fit each other end it at once; nothing names it yet.
        store.write(found, [data])
        image = store.get(found)
        _layers(store, layers, client, source, image, report)
        layers.ensure(image, store, report)  # those that somebody else was unpacking
        store.tag(ref, found, {SOURCE: source.name})
    return found


def _layers(  # noqa: PLR0917 - as above
    store: ImageStore,
    layers: Layers,
    client: RegistryClient,
    source: ImageReference,
    image: StoredImage,
    report: Report,
) -> None:
    """Fetch what is missing, lowest layers first, and unpack each when it is here."""
    places: dict[str, list[tuple[str, str, Descriptor]]] = {}
    stopped = threading.Event()

    def heard(progress: Progress) -> None:
        if stopped.is_set():  # what else is under way need not come to its end
            raise UnavailableError("the pull was stopped", where=str(source), hint="try again")
        report(progress)

    for chain, diff_id, layer in zip(image.chain_ids, image.diff_ids, image.layers, strict=True):
        places.setdefault(layer.digest, []).append((chain, diff_id, layer))
    with (
        Unpacking(layers.root) as work,
        ThreadPoolExecutor(_DOWNLOADS, thread_name_prefix="pull") as downloads,
        ThreadPoolExecutor(PARALLEL, thread_name_prefix="unpack") as unpackings,
    ):
        coming: dict[Future[Any], str] = {}

        def begin(blob: str) -> Iterator[Future[Any]]:
            for chain, diff_id, layer in places[blob]:
                path = layers.path(chain)
                if not path.is_dir():
                    yield unpackings.submit(work.unpack, path, store.blob(blob), diff_id, layer, heard)

        try:
            left: set[Future[Any]] = set()
            for blob, uses in places.items():
                if not blob_damage(store.blob(blob), uses[0][2], deep=False):
                    left.update(begin(blob))
                else:
                    coming[downloads.submit(_fetch, store, client, source, uses[0][2], heard)] = blob
            left.update(coming)
            while left:
                done, left = wait(left, return_when=FIRST_COMPLETED)
                for job in done:
                    job.result()
                    if job in coming:
                        left.update(begin(coming[job]))
        except BaseException:
            stopped.set()
            downloads.shutdown(wait=False, cancel_futures=True)
            unpackings.shutdown(wait=False, cancel_futures=True)
            raise
        work.commit()


def _fetch(store: ImageStore, client: RegistryClient, ref: ImageReference, blob: Descriptor, report: Report) -> None:
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        report(Progress(f"pull {blob.digest[7:19]}", done, blob.size))

    with closing(client.fetch_blob(ref, blob.digest, blob.size)) as chunks:
        store.write(blob.digest, chunks, progress)
