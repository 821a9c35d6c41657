"""Push a one-layer image to a registry on loopback (OCI distribution specification 1.1, "Push")."""

import gzip
import hashlib
import http.client
import json
import platform
import shutil
from urllib.parse import urlsplit

from images import PATH

KIND = "application/vnd.oci.image"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def push(port, recipe, tar):
    """The tar as a gzip layer, its config and manifest, under every tag of the recipe."""
    packed = tar.with_suffix(".tar.gz")
    with tar.open("rb") as source, packed.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    try:
        layer = _blob(port, recipe.repository, packed.read_bytes())
    finally:
        packed.unlink()
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Env": [PATH], "Cmd": list(recipe.command)},
        "rootfs": {"type": "layers", "diff_ids": [_digest_of(tar)]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{KIND}.manifest.v1+json",
        "config": _blob(port, recipe.repository, json.dumps(config).encode()) | {"mediaType": f"{KIND}.config.v1+json"},
        "layers": [layer | {"mediaType": f"{KIND}.layer.v1.tar+gzip"}],
    }
    body = json.dumps(manifest).encode()
    for tag in recipe.tags:
        _request(port, "PUT", f"/v2/{recipe.repository}/manifests/{tag}", body, manifest["mediaType"])


def _digest_of(path):
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _blob(port, repository, data):
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    place = urlsplit(_request(port, "POST", f"/v2/{repository}/blobs/uploads/"))
    query = f"{place.query}&digest={digest}" if place.query else f"digest={digest}"
    _request(port, "PUT", f"{place.path}?{query}", data, "application/octet-stream")
    return {"digest": digest, "size": len(data)}


def _request(port, verb, path, body=b"", kind=None):
    """Send one request; returns its Location. Raises RuntimeError with the registry's answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(verb, path, body, {"Content-Type": kind} if kind else {})
        reply = connection.getresponse()
        text = reply.read().decode(errors="replace")
    finally:
        connection.close()
    if reply.status not in (201, 202):
        raise RuntimeError(f"{verb} {path}: {reply.status} {text}")
    return reply.getheader("Location", "")
