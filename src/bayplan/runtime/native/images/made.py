"""New images: from a plain file system (import) and from a container's own layer (commit)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from bayplan.models.reference import ImageReference
from bayplan.registry.platforms import wishes
from bayplan.runtime.native.images.convert import (
    CONFIG_TYPE,
    LAYER_TYPE,
    descriptor_of,
    digest_of,
    encoded,
    oci_manifest,
)
from bayplan.runtime.native.images.layer_bytes import GzipSink
from bayplan.runtime.native.images.layers import Layers
from bayplan.runtime.native.images.pack import pack_changes
from bayplan.runtime.native.images.reading import seekable
from bayplan.runtime.native.images.store import MANIFEST_TYPE, ImageStore
from bayplan.runtime.protocol import Report


def import_tree(  # noqa: PLR0917 - the order of the signature is the order of the work
    store: ImageStore, layers: Layers, path: Path | BinaryIO, ref: ImageReference, comment: str, report: Report
) -> str:
    """An image of one layer from a tar file or stream. Raises CorruptStateError, UnsupportedError (device nodes)."""
    with store.in_use(), seekable(path, store.blobs) as file:
        layer, diff_id = _stored(store, lambda target: _copy(file, target))
        system, architecture, variant = wishes(None)[0]
        config: dict[str, Any] = {"architecture": architecture, "os": system, "config": {}}
        if variant:
            config["variant"] = variant
        return _finish(store, layers, ref, config, [layer], [diff_id], {"comment": comment}, report)


def commit(  # noqa: PLR0917 - as above
    store: ImageStore,
    layers: Layers,
    base: str,
    upper: Path,
    lowers: Sequence[Path],
    ref: ImageReference,
    comment: str,
    report: Report,
) -> str:
    """The image ``base`` with a container's own layer on top; without changes, only with another history."""
    with store.in_use():
        manifest = _document(oci_manifest(store, base))
        config = dict(store.document(str(manifest["config"]["digest"])))
        diff_ids = list(store.get(base).diff_ids)
        count = 0

        def write(target: BinaryIO) -> None:
            nonlocal count
            count = pack_changes(upper, lowers, target) if upper.is_dir() else 0

        layer, diff_id = _stored(store, write, wanted=lambda: count > 0)
        row: dict[str, Any] = {"created_by": "bayplan image commit", "comment": comment}
        made = [layer] if count else []
        if not count:
            row["empty_layer"] = True
        found = [*diff_ids, diff_id] if count else diff_ids
        return _finish(store, layers, ref, config, [*manifest["layers"], *made], found, row, report)


def _finish(  # noqa: PLR0917 - as above
    store: ImageStore,
    layers: Layers,
    ref: ImageReference,
    config: dict[str, Any],
    entries: list[dict[str, Any]],
    diff_ids: list[str],
    row: dict[str, Any],
    report: Report,
) -> str:
    """Documents written, layers unpacked (which checks them), the name given last."""
    created = _now()
    history = list(config.get("history") or [])
    lacking = len(entries) - sum(not item.get("empty_layer") for item in [*history, row])
    history = [{"created_by": "earlier layer"}] * max(0, lacking) + history
    row = {key: value for key, value in {"created": created, **row}.items() if value}
    config |= {
        "created": created,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [*history, row],
    }
    data = encoded(config)
    manifest = encoded(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor_of(data, CONFIG_TYPE),
            "layers": entries,
        }
    )
    for document in (data, manifest):
        store.write(digest_of(document), [document])
    digest = digest_of(manifest)
    layers.ensure(store.get(digest), store, report)
    store.tag(ref, digest)
    return digest


def _stored(
    store: ImageStore, write: Callable[[BinaryIO], None], wanted: Callable[[], bool] = lambda: True
) -> tuple[dict[str, Any], str]:
    """A layer blob of what ``write`` writes, compressed; its descriptor and diff id."""
    with tempfile.TemporaryFile(prefix=".part-", dir=store.blobs) as file:
        sink = GzipSink(cast("BinaryIO", file))
        write(cast("BinaryIO", sink))
        sink.finish()
        file.seek(0)
        if wanted() and not store.blob(sink.digest).exists():
            store.write(sink.digest, iter(lambda: file.read(1 << 20), b""))
    kind = f"{LAYER_TYPE}+gzip"
    return {"mediaType": kind, "digest": sink.digest, "size": sink.size}, sink.diff_id


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    while piece := source.read(1 << 20):
        target.write(piece)


def _document(data: bytes) -> dict[str, Any]:
    import json

    return dict(json.loads(data))


def _now() -> str:
    """The second that it is, or SOURCE_DATE_EPOCH (reproducible-builds.org)."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    when = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
