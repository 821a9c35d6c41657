"""Images written as an OCI image layout (directory or tar) or as a docker-archive. The same images, the same bytes."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from bayplan.errors import ConflictError, CorruptStateError, DeclarationError
from bayplan.models.reference import ImageReference
from bayplan.runtime.native.images.compression import Plain
from bayplan.runtime.native.images.convert import (
    INDEX_TYPE,
    descriptor_of,
    encoded,
    oci_manifest,
    platform_of,
)
from bayplan.runtime.native.images.soundness import damage
from bayplan.runtime.native.images.store import MANIFEST_TYPE, REF_NAME, ImageStore
from bayplan.runtime.protocol import Progress, Report

FORMATS = ("oci-archive", "oci-dir", "docker-archive")
CONTAINERD_NAME = "io.containerd.image.name"
Named = Sequence[tuple[ImageReference | None, str, str]]
"""Names, where they have one, manifest digests, and digests of the indexes of all platforms, or empty."""
_Opened = Callable[[], BinaryIO]


def save(store: ImageStore, images: Named, target: Path | BinaryIO, form: str, report: Report) -> None:
    """Write images to a path that is not there yet, or to a stream.

    Raises ConflictError, DeclarationError, CorruptStateError for an image of which a blob is gone.
    """
    if form not in FORMATS:
        raise DeclarationError(f"unknown format {form!r}", hint=f"one of {', '.join(FORMATS)}")
    with store.in_use():
        _check_whole(store, images)
        files = dict(_docker(store, images) if form == "docker-archive" else _oci(store, images))
        if not isinstance(target, Path):
            if form == "oci-dir":
                raise DeclarationError("a directory cannot be written to standard output", hint="name it with -o")
            _tar(files, target, report)
            return
        if target.exists() or target.is_symlink():
            raise ConflictError("exists already", where=str(target), hint="name another place, or remove it first")
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            if form == "oci-dir":
                _directory(files, temporary, report)
            else:
                with temporary.open("xb") as file:
                    _tar(files, file, report)
                    file.flush()
                    os.fsync(file.fileno())
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.unlink(missing_ok=True)
            raise


def _check_whole(store: ImageStore, images: Named) -> None:
    for ref, digest, index in images:
        # One that was unpacked before runs without its blobs; it cannot be saved without them.
        for blob, what in damage(store, index or digest, deep=False):
            name = ref.familiar if ref else digest[:19]
            raise CorruptStateError(f"image {name}: blob {blob} {what}", hint=f"`bayplan pull {name}` brings it again")


def _oci(store: ImageStore, images: Named) -> Iterator[tuple[str, tuple[int, _Opened]]]:
    """OCI image layout: ``oci-layout``, ``index.json``, then the blobs by digest."""
    entries: list[dict[str, Any]] = []
    blobs: dict[str, tuple[int, _Opened]] = {}
    for ref, digest, index in images:
        if index:
            data = store.blob(index).read_bytes()
            entry = descriptor_of(data, INDEX_TYPE)
            parts = [str(item["digest"]) for item in store.parts(index)]
            blobs |= {part: _file(store.blob(part)) for part in parts}
        else:
            data, parts = oci_manifest(store, digest), [digest]
            entry = descriptor_of(data, MANIFEST_TYPE)
            entry["platform"] = platform_of(store.document(store.document(digest)["config"]["digest"]))
        if ref:
            entry["annotations"] = {REF_NAME: str(ref), CONTAINERD_NAME: str(ref)}
        entries.append(entry)
        blobs[entry["digest"]] = _bytes(data)
        for part in parts:
            for item in (store.document(part)["config"], *store.document(part)["layers"]):
                blobs[str(item["digest"])] = _file(store.blob(str(item["digest"])))
    entries.sort(key=lambda item: (str(item.get("annotations")), str(item["digest"])))
    yield "oci-layout", _bytes(b'{"imageLayoutVersion":"1.0.0"}')
    yield "index.json", _bytes(encoded({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}))
    yield "manifest.json", _bytes(encoded(_for_docker(store, images)))
    for digest in sorted(blobs):
        yield f"blobs/sha256/{digest.removeprefix('sha256:')}", blobs[digest]


def _for_docker(store: ImageStore, images: Named) -> list[dict[str, Any]]:
    """What Docker looks for in a layout that it loads: the same blobs, as its own archives list them."""
    tags: dict[str, list[str]] = {}
    for ref, digest, _ in images:  # Docker loads one platform of each
        tags.setdefault(digest, []).extend([str(ref)] if ref else [])
    rows = []
    for digest, names in sorted(tags.items(), key=lambda item: (item[1], item[0])):
        config, layers = store.document(digest)["config"], store.document(digest)["layers"]
        row = {"Config": _path(config), "RepoTags": sorted(names), "Layers": [_path(item) for item in layers]}
        rows.append(row)
    return rows


def _path(blob: dict[str, Any]) -> str:
    return f"blobs/sha256/{str(blob['digest']).removeprefix('sha256:')}"


def _docker(store: ImageStore, images: Named) -> Iterator[tuple[str, tuple[int, _Opened]]]:
    """What ``docker save`` wrote before it wrote layouts: ``manifest.json``, configurations, plain layers."""
    tags: dict[str, list[str]] = {}
    for ref, digest, _ in images:  # the form has one platform
        # Whole names: Podman takes a short one for an image of localhost, Docker reads both.
        tags.setdefault(digest, []).extend([str(ref)] if ref else [])
    files, rows = {}, []
    for digest, names in sorted(tags.items(), key=lambda item: (item[1], item[0])):
        stored = store.get(digest)
        config = store.blob(str(store.document(digest)["config"]["digest"]))
        layers = []
        for diff_id, layer in zip(stored.diff_ids, stored.layers, strict=True):
            layers.append(f"{diff_id.removeprefix('sha256:')}.tar")
            if layers[-1] not in files:
                files[layers[-1]] = _plain(store.blob(layer.digest))
        files[f"{config.name}.json"] = _file(config)
        rows.append({"Config": f"{config.name}.json", "RepoTags": sorted(names), "Layers": layers})
    yield "manifest.json", _bytes(encoded(rows))
    yield from sorted(files.items())


def _bytes(data: bytes) -> tuple[int, _Opened]:
    return len(data), lambda: io.BytesIO(data)


def _file(path: Path) -> tuple[int, _Opened]:
    return path.stat().st_size, lambda: path.open("rb")


def _plain(path: Path) -> tuple[int, _Opened]:
    """A layer without its compression; read once for its size, as a tar entry begins with that."""
    with path.open("rb") as file, Plain(file) as stream:
        size = sum(len(piece) for piece in iter(lambda: stream.read(1 << 20), b""))
    return size, lambda: cast("BinaryIO", Plain(path.open("rb")))


def _tar(files: dict[str, tuple[int, _Opened]], target: BinaryIO, report: Report) -> None:
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for name in ("blobs", "blobs/sha256") if "oci-layout" in files else ():
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        for name, (size, opened) in files.items():
            info = tarfile.TarInfo(name)
            info.size = size
            with opened() as file:
                tar.addfile(info, file)
            report(Progress(f"save {Path(name).name[:12]}", size, size))


def _directory(files: dict[str, tuple[int, _Opened]], target: Path, report: Report) -> None:
    (target / "blobs/sha256").mkdir(parents=True)
    for name, (size, opened) in files.items():
        with opened() as file, (target / name).open("xb") as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
        report(Progress(f"save {Path(name).name[:12]}", size, size))
