"""Layers and configuration put together as an image (OCI image specification, "Manifest", "Configuration")."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bayplan.runtime.native.images.build import platforms
from bayplan.runtime.native.images.build.bases import Base
from bayplan.runtime.native.images.build.steps import Recipe, Stage
from bayplan.runtime.native.images.store import MANIFEST_TYPE
from bayplan.runtime.native.images.stored import Descriptor, chain_ids

_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_DOCKER_LAYERS = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
}


@dataclass(frozen=True)
class Tree:
    """The layers of a stage so far, lowest first; ``made`` says for each of its own steps whether it made a layer."""

    diff_ids: tuple[str, ...] = ()
    layers: tuple[Descriptor, ...] = ()
    made: tuple[bool, ...] = ()

    @property
    def chain(self) -> str:
        """Chain id of the topmost layer; empty for none."""
        return chain_ids(self.diff_ids)[-1] if self.diff_ids else ""

    def over(self) -> Tree:
        """The same layers as the start of another stage."""
        return Tree(self.diff_ids, self.layers)

    def add(self, diff_id: str, layer: Descriptor | None) -> Tree:
        """One step further."""
        if layer is None:
            return Tree(self.diff_ids, self.layers, (*self.made, False))
        return Tree((*self.diff_ids, diff_id), (*self.layers, layer), (*self.made, True))


@dataclass(frozen=True)
class Documents:
    """Manifest and configuration as they are stored."""

    manifest: bytes
    config: bytes

    @property
    def digest(self) -> str:
        """The image's digest: that of its manifest."""
        return sha256(self.manifest)


def sha256(data: bytes) -> str:
    """``sha256:<hex>`` of bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def assemble(recipe: Recipe, trees: Mapping[int, Tree]) -> Documents:
    """The documents of the target stage. The same input gives the same bytes."""
    stage, tree = recipe.target, trees[recipe.target.index]
    root, chain = _chain(recipe, stage)
    given = root.document if root else {}
    _, architecture, variant = (*(stage.platform or platforms.host()).split("/"), "")[:3]
    created = datetime.fromtimestamp(recipe.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    document: dict[str, Any] = {
        "created": created,
        "architecture": given.get("architecture") or architecture,
        "os": given.get("os") or "linux",
        "config": stage.config,
        "rootfs": {"type": "layers", "diff_ids": list(tree.diff_ids)},
        "history": [*_base_history(root), *(row for item in chain for row in _history(item, trees, created))],
    }
    if given.get("variant") or (root is None and variant):
        document["variant"] = given.get("variant") or variant
    if stage.author:
        document["author"] = stage.author
    config = _json(document)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _descriptor(Descriptor(sha256(config), len(config), _CONFIG_TYPE)),
        "layers": [_descriptor(layer) for layer in tree.layers],
    }
    return Documents(_json(manifest), config)


def _chain(recipe: Recipe, stage: Stage) -> tuple[Base | None, Sequence[Stage]]:
    """The image at the bottom, and the stages from it up to this one."""
    found = [stage]
    while isinstance(found[0].base, int):
        index = found[0].base
        found.insert(0, next(item for item in recipe.stages if item.index == index))
    base = found[0].base
    return (base if isinstance(base, Base) else None), found


def _history(stage: Stage, trees: Mapping[int, Tree], created: str) -> list[dict[str, Any]]:
    """An entry for each instruction, as written: values of arguments do not get into the image."""
    made = iter(trees[stage.index].made)
    rows = []
    for text, is_step in stage.history:
        row: dict[str, Any] = {"created": created, "created_by": text}
        if not (is_step and next(made)):
            row["empty_layer"] = True
        rows.append(row)
    return rows


def _base_history(base: Base | None) -> list[dict[str, Any]]:
    """The base's own, or one entry a layer: readers count entries against layers."""
    if base is None:
        return []
    rows = list(base.document.get("history") or ())
    if sum(not row.get("empty_layer") for row in rows) != len(base.layers):
        return [{"created_by": f"layer of {base.reference.familiar}"} for _ in base.layers]
    return rows


def _descriptor(item: Descriptor) -> dict[str, Any]:
    kind = _DOCKER_LAYERS.get(item.media_type, item.media_type)
    return {"mediaType": kind, "digest": item.digest, "size": item.size}


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
