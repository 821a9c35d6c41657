"""Files that a Compose file names, as one merged and interpolated tree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bayplan.load.compose.interpolate import Variables, interpolate
from bayplan.load.compose.merge import merge
from bayplan.load.compose.nodes import Node, wrong
from bayplan.load.compose.yaml_text import parse, place


def documents(path: Path, named: Node) -> list[Node]:
    """The documents of a file that the node names. Raises DeclarationError at the node when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise wrong(named, f"file {str(path)!r} cannot be read: {why}") from error
    found = [place(node) for node in parse(text, str(path)) if not node.is_null]
    for node in found:
        if not isinstance(node.value, dict):
            raise wrong(node, "a Compose file must be a map with the key services")
    return found


def read(paths: Sequence[Path], variables: Variables, named: Node) -> Node:
    """The files laid over each other. Raises DeclarationError."""
    found = [interpolate(one, variables) for path in paths for one in documents(path, named)]
    if not found:
        raise wrong(named, f"file {str(paths[0])!r} is empty")
    root = found[0]
    for node in found[1:]:
        root = merge(root, node)
    return root
