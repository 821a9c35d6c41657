"""Attributes of a service that open or close it towards its host: security options, devices, block devices."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from bayplan.load.compose import keys
from bayplan.load.compose.nodes import Node, as_integer, as_list, as_map, as_text, check_keys, not_built, wrong
from bayplan.load.compose.paths import below
from bayplan.load.compose.validate import make
from bayplan.models import BlockIo, Device, DeviceRate, DeviceWeight

_SECURITY = re.compile(r"^(no-new-privileges([:=](true|false))?|systempaths[:=]unconfined|(un)?mask[:=].+)$")
_HAVING_VALUE = ("seccomp", "apparmor", "label")
_RATES = {
    "device_read_bps": "read_bps",
    "device_write_bps": "write_bps",
    "device_read_iops": "read_iops",
    "device_write_iops": "write_iops",
}


def security_options(node: Node, directory: Path) -> tuple[str, ...]:
    """``security_opt``; the path of a seccomp profile is relative to the project directory. Raises DeclarationError."""
    found = []
    for item in as_list(node):
        text = as_text(item)
        name, _, value = text.replace(":", "=", 1).partition("=") if "=" not in text else text.partition("=")
        if name in _HAVING_VALUE and value:
            if name == "seccomp" and value not in ("unconfined", "builtin"):
                value = os.path.normpath(below(directory, value, item))
            found.append(f"{name}={value}")
        elif _SECURITY.match(text):
            found.append(text)
        else:
            raise not_built(item, f"security option {text!r} is not built yet")
    return tuple(found)


def cdi_devices(node: Node | None) -> tuple[str, ...]:
    """Those of ``devices`` that are named as ``vendor.com/class=name``."""
    return () if node is None else tuple(as_text(item) for item in as_list(node) if _is_cdi(item))


def _is_cdi(node: Node) -> bool:
    return isinstance(node.value, str) and "=" in node.value and not node.value.startswith("/")


def devices(node: Node) -> tuple[Device, ...]:
    """``devices``: ``HOST[:CONTAINER[:rwm]]`` or source, target, permissions. Raises DeclarationError."""
    found: dict[str, Device] = {}
    for item in as_list(node):
        if _is_cdi(item):
            continue
        if isinstance(item.value, dict):
            check_keys(item, built={"source", "target", "permissions"})
            values: dict[str, Any] = {key: as_text(one) for key, one in as_map(item).items()}
            if "source" not in values:
                raise wrong(item, "names no source")
        else:
            text = as_text(item)
            parts = text.split(":")
            if len(parts) > 3 or not all(parts):
                raise wrong(item, f"{text!r} is not HOST[:CONTAINER[:rwm]]")
            values = dict(zip(("source", "target", "permissions"), parts, strict=False))
            if len(parts) == 2 and re.fullmatch(r"[rwm]+", parts[1]):
                values = {"source": parts[0], "permissions": parts[1]}
        values.setdefault("target", values["source"])
        values["permissions"] = "".join(sign for sign in "rwm" if sign in values.get("permissions", "rwm")) or "?"
        device = make(Device, item, values)
        found[device.target] = device
    return tuple(found.values())


def block_io(node: Node) -> BlockIo:
    """``blkio_config``. Raises DeclarationError."""
    check_keys(node, built={"weight", "weight_device", *_RATES})
    values: dict[str, Any] = {}
    if weight := node.get("weight"):
        values["weight"] = as_integer(weight)
    if weights := node.get("weight_device"):
        values["weight_device"] = tuple(_weight(item) for item in as_list(weights))
    for name, field in _RATES.items():
        if rates := node.get(name):
            values[field] = tuple(_rate(item) for item in as_list(rates))
    return make(BlockIo, node, values, {field: name for name, field in _RATES.items()})


def _weight(node: Node) -> DeviceWeight:
    check_keys(node, built={"path", "weight"})
    path, weight = node.get("path"), node.get("weight")
    if path is None or weight is None:
        raise wrong(node, "needs path and weight")
    return make(DeviceWeight, node, {"path": as_text(path), "weight": as_integer(weight)})


def _rate(node: Node) -> DeviceRate:
    check_keys(node, built=keys.RATE_BUILT)
    return make(DeviceRate, node, {key: as_text(one) for key, one in as_map(node).items()})
