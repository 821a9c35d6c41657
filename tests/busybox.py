"""An image of static busybox for tests of the real core."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

from bayplan.models import ImageReference
from bayplan.runtime.native.images.store import ImageStore

APPLETS = ("sh", "sleep", "echo", "nc", "cat", "true", "nslookup")


def add_busybox(root: Path, applets=APPLETS) -> None:
    """An image of static busybox, written straight into the store."""
    store = ImageStore(root)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        for name in applets:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)

    def put(data: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        store.write(digest, [data])
        return digest

    layer = archive.getvalue()
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]}}
    config["rootfs"] = {"type": "layers", "diff_ids": [put(layer)]}
    text = json.dumps(config).encode()
    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": {"mediaType": f"{kind}.config.v1+json", "digest": put(text), "size": len(text)},
        "layers": [
            {
                "mediaType": f"{kind}.layer.v1.tar",
                "digest": config["rootfs"]["diff_ids"][0],
                "size": len(layer),
            }
        ],
    }
    store.tag(ImageReference.parse("lab/busybox"), put(json.dumps(manifest).encode()))
