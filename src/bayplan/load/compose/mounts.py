"""``volumes`` and ``tmpfs`` of a service: short and long syntax to models."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayplan.load.compose import keys
from bayplan.load.compose.nodes import (
    Node,
    as_flag,
    as_list,
    as_text,
    check_keys,
    not_built,
    text_or_texts,
    wrong,
)
from bayplan.load.compose.validate import make
from bayplan.models import BindMount, ByteSize, ImageMount, Mount, TmpfsMount, VolumeMount, anonymous_name

_log = logging.getLogger("bayplan.load")
_PROPAGATION = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})


@dataclass
class MountReader:
    """Reads the mounts of one container.

    ``volumes`` maps declared keys to final names, ``image`` takes an image in and gives its name; ``used`` and
    ``anonymous`` collect the keys and the names needed.
    """

    directory: Path
    home: str
    volumes: Mapping[str, str]
    container: str
    image: Callable[[Node], str] = as_text
    used: set[str] = field(default_factory=set)
    anonymous: list[str] = field(default_factory=list)

    def read(self, service: Node) -> tuple[Mount, ...]:
        """Every mount, the later of two with one target winning. Raises DeclarationError."""
        found: dict[str, Mount] = {}
        volumes, tmpfs = service.get("volumes"), service.get("tmpfs")
        for item in as_list(volumes) if volumes else ():
            mount = self._long(item) if isinstance(item.value, dict) else self._short(item)
            found[mount.target] = mount
        if tmpfs:
            items = as_list(tmpfs) if isinstance(tmpfs.value, list) else [tmpfs]
            for item in items:
                mount = _tmpfs(item)
                found[mount.target] = mount
        return tuple(found.values())

    def _short(self, node: Node) -> Mount:
        text = as_text(node)
        source, target, options = _split(node, text)
        values: dict[str, Any] = {"target": target}
        bind = source.startswith((".", "/", "~"))
        for option in filter(None, options.split(",")):
            if option in ("ro", "rw"):
                values["read_only"] = option == "ro"
            elif option in ("z", "Z"):
                _log.warning("%s: %s: SELinux labels are not changed (option %s)", node.at, node.path, option)
            elif option == "nocopy" and not bind:
                values["nocopy"] = True
            elif option in _PROPAGATION and bind:
                values["propagation"] = option
            elif option not in ("cached", "delegated", "consistent"):
                raise wrong(node, f"unknown mount option {option!r} in {text!r}")
        if bind:
            return make(BindMount, node, {**values, "source": self.path(source)})
        return make(VolumeMount, node, {**values, "source": self._volume(node, source, target)})

    def _long(self, node: Node) -> Mount:
        check_keys(node, built=keys.MOUNT_BUILT)
        kind, target, source = node.get("type"), node.get("target"), node.get("source")
        if kind is None or target is None:
            raise wrong(node, "a mount needs type and target")
        values: dict[str, Any] = {"target": as_text(target)}
        read_only = node.get("read_only")
        if read_only:
            values["read_only"] = as_flag(read_only)
        name = as_text(kind)
        if name == "bind":
            if source is None:
                raise wrong(node, "a bind mount needs a source")
            options = _options(node, "bind", built={"propagation", "create_host_path", "recursive"}, known={"selinux"})
            values |= {"source": self.path(as_text(source)), **options}
            return make(BindMount, node, values)
        if name == "volume":
            options = _options(node, "volume", built={"nocopy", "subpath"}, known={"labels"})
            volume = self._volume(node, as_text(source) if source else "", values["target"])
            return make(VolumeMount, node, {**values, "source": volume, **options})
        if name == "tmpfs":
            options = _options(node, "tmpfs", built={"size", "mode"}, known=set())
            return make(TmpfsMount, node, {**values, **options})
        if name == "image":
            if source is None:
                raise wrong(node, "an image mount needs a source")
            if read_only and not values.pop("read_only"):
                raise wrong(read_only, "an image cannot be written to")
            options = _options(node, "image", built={"subpath"}, known=set())
            return make(ImageMount, node, {**values, "source": self.image(source), **options})
        if name in ("npipe", "cluster"):
            raise not_built(kind, f"mounts of type {name} are not built yet")
        raise wrong(kind, f"unknown mount type {name!r}", hint="bind, volume, image or tmpfs")

    def path(self, text: str) -> str:
        """A host path made absolute: ``~`` is the home directory, others are relative to the project directory."""
        if text == "~" or text.startswith("~/"):
            text = self.home + text[1:]
        return os.path.normpath(self.directory / text)

    def _volume(self, node: Node, key: str, target: str) -> str:
        if not key:
            # A name that the next run finds again: level-based, unlike an engine's random one.
            name = anonymous_name(self.container, target)
            self.anonymous.append(name)
            return name
        if key not in self.volumes:
            raise wrong(
                node,
                f"volume {key!r} is not declared",
                hint=f"add it under the top-level volumes, or write ./{key} for a directory",
            )
        self.used.add(key)
        return self.volumes[key]


def _split(node: Node, text: str) -> tuple[str, str, str]:
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise wrong(node, f"{text!r} is not [SOURCE:]TARGET[:OPTIONS]")
    if len(parts) == 1:
        return "", parts[0], ""
    return parts[0], parts[1], parts[2] if len(parts) == 3 else ""


def _options(node: Node, name: str, *, built: set[str], known: set[str]) -> dict[str, Any]:
    options = node.get(name)
    if options is None:
        return {}
    check_keys(options, built=built, known=known)
    flags = ("create_host_path", "nocopy")
    return {
        key: as_flag(value) if key in flags else value.value for key in built if (value := options.get(key)) is not None
    }


def _tmpfs(node: Node) -> TmpfsMount:
    (text,) = text_or_texts(node)
    target, _, options = text.partition(":")
    values: dict[str, Any] = {"target": target}
    for option in filter(None, options.split(",")):
        name, _, value = option.partition("=")
        if name == "size":
            try:
                values["size"] = ByteSize.parse(value)
            except ValueError as error:
                raise wrong(node, str(error)) from error
        elif name == "mode" and value and set(value) <= set("01234567"):
            values["mode"] = int(value, 8)
        elif name in ("uid", "gid") and value.isdigit():
            values[name] = int(value)
        elif option in ("ro", "noexec"):
            values["read_only" if option == "ro" else option] = True
        elif option not in ("rw", "exec", "nosuid", "nodev"):
            raise not_built(node, f"tmpfs option {option!r} is not built yet")
    return make(TmpfsMount, node, values)
