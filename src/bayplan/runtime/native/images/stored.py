"""What a stored image says of itself (OCI image specification: "Image Manifest" and "Image Configuration")."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from bayplan.values import frozen

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@frozen
class Descriptor:
    """A blob by content: ``sha256:<hex>``, its size in bytes and media type."""

    digest: str
    size: int
    media_type: str


@frozen
class ImageConfig:
    """Defaults that an image gives its containers. ``env`` holds ``NAME=value``; ``healthcheck`` is the raw object."""

    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = ""
    healthcheck: Mapping[str, Any] | None = None
    shell: tuple[str, ...] = ()


@frozen
class StoredImage:
    """One image that is whole on this host; ``digest`` is that of its manifest."""

    digest: str
    config: ImageConfig
    diff_ids: tuple[str, ...]
    layers: tuple[Descriptor, ...]
    size_bytes: int
    architecture: str = ""
    os: str = ""

    @property
    def chain_ids(self) -> tuple[str, ...]:
        """Chain id of each layer, lowest first."""
        return chain_ids(self.diff_ids)


def chain_ids(diff_ids: tuple[str, ...]) -> tuple[str, ...]:
    """ChainID of each layer (OCI image configuration, "Layer ChainID")."""
    chain: list[str] = []
    for diff_id in diff_ids:
        joined = f"{chain[-1]} {diff_id}".encode() if chain else b""
        chain.append(f"sha256:{hashlib.sha256(joined).hexdigest()}" if chain else diff_id)
    return tuple(chain)


def descriptor(raw: Mapping[str, Any]) -> Descriptor:
    """Read a descriptor object. Raises KeyError, ValueError or TypeError when it is malformed."""
    return Descriptor(str(raw["digest"]), int(raw["size"]), str(raw.get("mediaType", "")))


def layer_ids(config: Mapping[str, Any]) -> tuple[str, ...]:
    """``rootfs.diff_ids`` of an image configuration. Raises KeyError, ValueError or TypeError when it is malformed.

    Layers lie in directories named after them: one that is no digest would name a directory of the host.
    """
    found = tuple(config["rootfs"]["diff_ids"])
    for item in found:
        if not _DIGEST.fullmatch(item):
            raise ValueError(f"diff id {item!r} is no sha256 digest")
    return found


def image_config(raw: Mapping[str, Any]) -> ImageConfig:
    """Read the ``config`` object of an image configuration; nulls count as absent. Raises ValueError.

    A working directory is absolute from here on (CVE-2024-21626 is what else it can be).
    """
    if not isinstance(raw, Mapping):
        raise ValueError("its config is no object")  # noqa: TRY004 - one error for whatever is wrong
    labels, check = raw.get("Labels") or {}, raw.get("Healthcheck")
    for name, value in (("Labels", labels), ("Healthcheck", check or {})):
        if not isinstance(value, Mapping):
            raise ValueError(f"{name} is no object")  # noqa: TRY004
    directory = _text(raw, "WorkingDir")
    return ImageConfig(
        env=_texts(raw, "Env"),
        entrypoint=_texts(raw, "Entrypoint"),
        cmd=_texts(raw, "Cmd"),
        user=_text(raw, "User"),
        working_dir=posixpath.normpath(f"/{directory.lstrip('/')}") if directory else "",
        volumes=tuple(sorted(_texts(raw, "Volumes"))),
        exposed_ports=tuple(sorted(_texts(raw, "ExposedPorts"))),
        labels={str(name): str(value) for name, value in labels.items()},
        stop_signal=_text(raw, "StopSignal"),
        healthcheck=check,
        shell=_texts(raw, "Shell"),
    )


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name) or ""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"{name} is no text")
    return value


def _texts(raw: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of texts, or the names of an object; a single text is a list of one, as Docker reads it."""
    value = raw.get(name) or ()
    found = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple | Mapping) else None
    if found is None or any(not isinstance(item, str) or "\0" in item for item in found):
        raise ValueError(f"{name} is no list of texts")
    return found
