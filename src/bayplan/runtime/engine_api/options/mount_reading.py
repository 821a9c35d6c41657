"""Mounts as the API shows them in its three places, to the model's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.models import BindMount, ByteSize, ImageMount, Mount, TmpfsMount, VolumeMount
from bayplan.runtime.engine_api.options.option import build

_PROPAGATIONS = ("rprivate", "private", "shared", "rshared", "slave", "rslave")


def of_structured(found: Mapping[str, Any]) -> Mount:
    """An entry of ``HostConfig.Mounts``."""
    target, read_only = str(found["Target"]), bool(found.get("ReadOnly"))
    source = str(found.get("Source") or "")
    match found.get("Type"):
        case "bind":
            options = found.get("BindOptions") or {}
            return build(
                BindMount,
                source=source,
                target=target,
                read_only=read_only,
                propagation=options.get("Propagation") or "rprivate",
                recursive=_recursive(options),
            )
        case "tmpfs":
            options = found.get("TmpfsOptions") or {}
            flags = {word: True for pair in options.get("Options") or () for word in pair}
            return build(
                TmpfsMount,
                target=target,
                read_only=read_only,
                noexec="noexec" in flags,
                size=ByteSize(options["SizeBytes"]) if options.get("SizeBytes") else None,
                mode=options.get("Mode") or None,
            )
        case "image":
            subpath = (found.get("ImageOptions") or {}).get("Subpath") or None
            return build(ImageMount, source=source, target=target, subpath=subpath)
    options = found.get("VolumeOptions") or {}
    return build(
        VolumeMount,
        source=source,
        target=target,
        read_only=read_only,
        nocopy=bool(options.get("NoCopy")),
        subpath=options.get("Subpath") or None,
    )


def _recursive(options: Mapping[str, Any]) -> str:
    for key, word in (
        ("NonRecursive", "disabled"),
        ("ReadOnlyForceRecursive", "readonly"),
        ("ReadOnlyNonRecursive", "writable"),
    ):
        if options.get(key):
            return word
    return "enabled"


def of_bind(text: str) -> Mount:
    """An entry of ``HostConfig.Binds``: ``SOURCE:TARGET[:OPTIONS]``; a source that is no path is a volume's name."""
    source, _, rest = text.partition(":")
    target, _, words = rest.partition(":")
    options = words.split(",")
    read_only = "ro" in options
    if not source.startswith("/"):
        nocopy = "nocopy" in options
        return build(VolumeMount, source=source, target=target, read_only=read_only, nocopy=nocopy)
    propagation = next((word for word in options if word in _PROPAGATIONS), "rprivate")
    values = {"source": source, "target": target, "read_only": read_only, "propagation": propagation}
    return build(BindMount, **values)


def of_tmpfs(target: str, text: str) -> Mount:
    """An entry of ``HostConfig.Tmpfs``: options of mount(8)."""
    words = dict(word.partition("=")[::2] for word in text.split(",") if word)
    numbers = {name: int(words[name]) for name in ("uid", "gid") if words.get(name, "").isdigit()}
    return build(
        TmpfsMount,
        target=target,
        read_only="ro" in words,
        noexec="noexec" in words,
        size=ByteSize.parse(words["size"]) if words.get("size") else None,
        mode=int(words["mode"], 8) if words.get("mode") else None,
        **numbers,
    )
