"""Stored documents as the OCI image specification has them: Docker's media types become those of OCI."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from bayplan.runtime.native.images.store import MANIFEST_TYPE, ImageStore

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
_LAYERS = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": f"{LAYER_TYPE}+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": f"{LAYER_TYPE}+zstd",
    "application/vnd.docker.image.rootfs.diff.tar": LAYER_TYPE,
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": f"{LAYER_TYPE}+gzip",
}


def digest_of(data: bytes) -> str:
    """``sha256:<hex>``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def encoded(value: object) -> bytes:
    """JSON, the same bytes for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def layer_type(head: bytes) -> str:
    """Media type of a layer archive by its first bytes."""
    if head.startswith(b"\x1f\x8b"):
        return f"{LAYER_TYPE}+gzip"
    return f"{LAYER_TYPE}+zstd" if head.startswith(b"\x28\xb5\x2f\xfd") else LAYER_TYPE


def oci_manifest(store: ImageStore, digest: str) -> bytes:
    """The image's manifest, as it is stored when that is valid by the specification."""
    manifest = store.document(digest)
    config, layers = _config(manifest["config"]), [_layer(store, item) for item in manifest["layers"]]
    is_oci = manifest.get("schemaVersion") == 2 and manifest.get("mediaType") == MANIFEST_TYPE
    if is_oci and (config, layers) == (manifest["config"], manifest["layers"]):
        return store.blob(digest).read_bytes()
    kept = {key: value for key, value in manifest.items() if key in ("annotations", "subject", "artifactType")}
    head = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE}
    return encoded({**kept, **head, "config": config, "layers": layers})


def descriptor_of(data: bytes, media_type: str) -> dict[str, Any]:
    """A descriptor object of a document."""
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def platform_of(config: Mapping[str, Any]) -> dict[str, str]:
    """The platform object of an image's configuration."""
    own = {"architecture": str(config.get("architecture") or "unknown"), "os": str(config.get("os") or "linux")}
    return own | ({"variant": str(config["variant"])} if config.get("variant") else {})


def index_entry(store: ImageStore, digest: str) -> dict[str, Any]:
    """An index's descriptor of a stored image, as it is stored."""
    manifest = store.document(digest)
    kind = str(manifest.get("mediaType") or MANIFEST_TYPE)
    size = store.blob(digest).stat().st_size
    platform = platform_of(store.document(str(manifest["config"]["digest"])))
    return {"mediaType": kind, "digest": digest, "size": size, "platform": platform}


def _config(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "mediaType": CONFIG_TYPE}


def _layer(store: ImageStore, item: dict[str, Any]) -> dict[str, Any]:
    kind = str(item.get("mediaType") or "")
    if kind in _LAYERS or not kind:
        with store.blob(str(item["digest"])).open("rb") as file:
            kind = _LAYERS.get(kind) or layer_type(file.read(4))
    # Where the blob might also be had is no matter once it is here.
    return {key: value for key, value in {**item, "mediaType": kind}.items() if key != "urls"}
