"""Mounts of images: their layers as a read-only tree below the bundle, from which a part or all of it is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bayplan.models import Container, ImageMount, Mount
from bayplan.runtime.native.containers.spec import mounts
from bayplan.runtime.native.images.stored import StoredImage
from bayplan.system import mounts as host_mounts

Layers = Mapping[str, Sequence[Path]]
"""Reference of an image to its layers, topmost first."""


def mounted_images(
    container: Container, rootfs: Callable[[str, str], tuple[StoredImage, Sequence[Path]]]
) -> tuple[Container, Layers]:
    """The container with the digests of the images it mounts, and their layers, unpacked by ``rootfs``."""
    layers: dict[str, Sequence[Path]] = {}
    found: list[Mount] = []
    for item in container.mounts:
        if isinstance(item, ImageMount):
            stored, layers[item.source] = rootfs(item.source, item.digest)
            found.append(item.model_copy(update={"digest": stored.digest}))
        else:
            found.append(item)
    return (container.model_copy(update={"mounts": tuple(found)}) if layers else container), layers


def facts(container: Container, layers: Layers) -> list[dict[str, Any]]:
    """What ``show`` needs at each start, as JSON values."""
    return [
        {
            "layers": [str(one) for one in layers[item.source]],
            "tree": f"image-{hashlib.sha256(item.digest.encode()).hexdigest()[:12]}",
            "subpath": item.subpath or "",
            "name": mounts.part(item.target),
        }
        for item in container.mounts
        if isinstance(item, ImageMount)
    ]


def show(found: Sequence[Mapping[str, Any]], bundle: Path) -> None:
    """Mount the trees, each once, and show the parts, in the mount namespace of the caller. Raises NotFoundError."""
    for tree, layers in {item["tree"]: item["layers"] for item in found}.items():
        place = bundle / tree
        place.mkdir(exist_ok=True, mode=0o700)
        host_mounts.mount_overlay([Path(one) for one in layers], None, None, place)
    mounts.show_parts([(str(bundle / one["tree"]), one["subpath"], one["name"]) for one in found], bundle)
