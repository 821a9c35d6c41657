"""Mounts of a container as Ansible users write them: short, as the model has them, and by Docker's names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayplan.errors import DeclarationError
from bayplan.load.compose.mounts import MountReader
from bayplan.load.compose.nodes import Node
from bayplan.load.compose.yaml_text import parse, place


def read(values: dict[str, Any], container: str) -> list[Any] | None:
    """``mounts``, ``volumes`` and ``tmpfs``: the later of two with one target wins."""
    given = {option: values.pop(option) for option in ("mounts", "volumes", "tmpfs") if option in values}
    if not given:
        return None
    found: dict[str, Any] = {}
    for item in (*given.get("volumes", ()), *given.get("mounts", ())):
        mount = short(str(item), container) if not isinstance(item, Mapping) else _long(item)
        found[str(mount.get("target"))] = mount
    if tmpfs := given.get("tmpfs"):
        for one in MountReader(Path("/"), str(Path.home()), {}, container).read(node({"tmpfs": tmpfs})):
            found[one.target] = one.model_dump(mode="json")
    return list(found.values())


def short(text: str, container: str) -> dict[str, Any]:
    """One mount in its short spelling, as the fields of a model. Raises DeclarationError."""
    source = text.split(":", maxsplit=1)[0]
    if source.startswith("."):
        raise DeclarationError(f"volumes: {text!r} has no absolute path of the host", hint="a task has no directory")
    reader = MountReader(Path("/"), str(Path.home()), {source: source}, container)
    (mount,) = reader.read(node({"volumes": [text]}))
    if reader.anonymous:
        raise DeclarationError(f"volumes: {text!r} names no source", hint="NAME:PATH; a volume without a name is lost")
    return mount.model_dump(mode="json")


def _long(item: Mapping[str, Any]) -> dict[str, Any]:
    """A mount as the model has it, or by Docker's names."""
    found = {key: value for key, value in item.items() if value is not None}
    found.setdefault("type", "volume")
    for option, field in (("no_copy", "nocopy"), ("tmpfs_size", "size"), ("create_mountpoint", "create_host_path")):
        if option in found:
            found[field] = found.pop(option)
    if "tmpfs_mode" in found:
        mode = str(found.pop("tmpfs_mode"))
        try:
            found["mode"] = int(mode, 8)
        except ValueError as error:
            raise DeclarationError(f"mounts: tmpfs_mode {mode!r} is not octal", hint='such as "1770"') from error
    if found.pop("non_recursive", False):
        found["recursive"] = "disabled"
    for option in ("volume_driver", "volume_options", "labels"):
        if found.pop(option, None):
            raise DeclarationError(f"mounts: {option} is the volume's", hint="make it by the module volume first")
    return found


def node(value: Any) -> Node:
    """A value as the Compose reader has it."""
    return place(parse(json.dumps(value, default=str), "options")[0])
