"""``post_start`` and ``pre_stop``: commands in a container that runs."""

from __future__ import annotations

from typing import Any

from bayplan.load.compose import keys
from bayplan.load.compose.nodes import Node, as_flag, as_list, as_text, check_keys, text_map, words, wrong
from bayplan.load.compose.validate import make
from bayplan.models import Hook


def hooks(node: Node) -> tuple[Hook, ...]:
    """The commands in their order. Raises DeclarationError."""
    return tuple(_hook(item) for item in as_list(node))


def _hook(node: Node) -> Hook:
    check_keys(node, built=keys.HOOK_BUILT)
    command = node.get("command")
    if command is None:
        raise wrong(node, "names no command")
    values: dict[str, Any] = {"command": words(command), "environment": text_map(node.get("environment"))}
    for name in ("user", "working_dir"):
        if found := node.get(name):
            values[name] = as_text(found)
    if found := node.get("privileged"):
        values["privileged"] = as_flag(found)
    return make(Hook, node, values)
