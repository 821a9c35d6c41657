"""Mounts in Compose's long syntax; a tmpfs of which that does not say all in the short one."""

from __future__ import annotations

from typing import Any

from bayplan.load.compose.writing.resources import Keys
from bayplan.models import BindMount, ImageMount, Mount, TmpfsMount, VolumeMount

_OPTIONS = {
    "bind": ("propagation", "create_host_path", "recursive"),
    "volume": ("nocopy", "subpath"),
    "tmpfs": ("size", "mode"),
    "image": ("subpath",),
}


def mount(item: Mount, keys: Keys) -> dict[str, Any]:
    """One of ``volumes``."""
    given = item.model_dump(mode="json", exclude_defaults=True)
    found: dict[str, Any] = {"type": item.type}
    match item:
        case VolumeMount():
            found["source"] = keys.volumes[item.source]
        case BindMount() | ImageMount():
            found["source"] = item.source
        case TmpfsMount():
            pass
    found["target"] = item.target
    if given.get("read_only") and not isinstance(item, ImageMount):
        found["read_only"] = True
    options = {key: given[key] for key in _OPTIONS[item.type] if key in given}
    return {**found, **({item.type: options} if options else {})}


def tmpfs(item: TmpfsMount) -> str | None:
    """The short syntax of one that has an owner or forbids programs; None for others."""
    if item.uid is None and item.gid is None and not item.noexec:
        return None
    words = [
        *([f"size={int(item.size)}"] if item.size is not None else []),
        *([f"mode={item.mode:o}"] if item.mode is not None else []),
        *([f"uid={item.uid}"] if item.uid is not None else []),
        *([f"gid={item.gid}"] if item.gid is not None else []),
        *(["noexec"] if item.noexec else []),
        *(["ro"] if item.read_only else []),
    ]
    return f"{item.target}:{','.join(words)}"
