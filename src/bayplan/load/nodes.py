"""The nodes of a swarm from a YAML file of their own: they belong to no project.

nodes:
ship1: {role: manager, address: ssh://root@ship1, advertise: 10.0.0.1}
ship2: {address: ssh://root@ship2, labels: {disk: ssd}, availability: drain}
ship3: {state: absent}
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayplan.errors import DeclarationError
from bayplan.load.compose.interpolate import Variables, interpolate
from bayplan.load.compose.nodes import Node, as_map, as_text, check_keys, text_map, wrong
from bayplan.load.compose.validate import make
from bayplan.load.compose.yaml_text import parse, place
from bayplan.models import Kind, ResourceId
from bayplan.models.swarm import SwarmNode, SwarmStack

_FIELDS = frozenset({"address", "advertise", "role", "availability"})


def load_nodes(path: Path, environment: Mapping[str, str] | None = None) -> tuple[SwarmStack, tuple[ResourceId, ...]]:
    """The declared nodes, and those that must be gone. Raises DeclarationError with file and line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(f"cannot read: {error}", where=str(path)) from error
    documents = [place(one) for one in parse(text, str(path)) if not one.is_null]
    if len(documents) != 1:
        raise DeclarationError("must be one document with the key nodes", where=str(path))
    root = interpolate(documents[0], Variables(os.environ if environment is None else environment))
    check_keys(root, built={"nodes"})
    declared = root.get("nodes")
    if declared is None or not as_map(declared):
        raise wrong(root, "declares no nodes")
    nodes, absent = list[SwarmNode](), list[ResourceId]()
    for name, node in as_map(declared).items():
        if _is_absent(node):
            absent.append(ResourceId(kind=Kind.NODE, name=name))
        else:
            nodes.append(_node(name, node))
    return SwarmStack(name="", nodes=tuple(nodes), sources=(str(path),)), tuple(absent)


def _is_absent(node: Node) -> bool:
    state = None if node.is_null else node.get("state")
    if state is None:
        return False
    if as_text(state) not in ("present", "absent"):
        raise wrong(state, f"unknown state {as_text(state)!r}", hint="present or absent")
    return as_text(state) == "absent"


def _node(name: str, node: Node) -> SwarmNode:
    values: dict[str, Any] = {"name": name}
    if not node.is_null:
        check_keys(node, built={*_FIELDS, "labels", "state"})
        values |= {field: as_text(found) for field in _FIELDS if (found := node.get(field))}
        values["labels"] = text_map(node.get("labels"))
    return make(SwarmNode, node, values)
