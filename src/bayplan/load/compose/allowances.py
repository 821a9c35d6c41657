"""``x-bayplan``: what Bayplan reads in a Compose file and Compose leaves alone.

``x-bayplan: {parity: {allow: [...]}}`` lists fields that may differ between environments: dotted places, or maps with
``path`` and ``why``.
"""

from __future__ import annotations

import re

from bayplan.load.compose.nodes import Node, as_list, as_map, as_text, check_keys, wrong
from bayplan.load.compose.validate import make
from bayplan.models.stack import Allowance

KEY = "x-bayplan"
_OWN = frozenset({"parity"})
_PARITY = frozenset({"allow"})
_ALLOWANCE = frozenset({"path", "why"})
_HEADS = ("services", "networks", "volumes", "images", "secrets", "configs", "engine", "host", "project")
_PATH = re.compile(r"[^\s.]+(\.[^\s.]+)*")


def read_allowances(root: Node) -> tuple[Allowance, ...]:
    """The fields that may differ, in the order of the file. Raises DeclarationError."""
    own = root.get(KEY)
    if own is None:
        return ()
    check_keys(own, built=_OWN, known=())
    parity = own.get("parity")
    if parity is None:
        return ()
    check_keys(parity, built=_PARITY, known=())
    given = parity.get("allow")
    return tuple(_allowance(item) for item in as_list(given)) if given else ()


def _allowance(node: Node) -> Allowance:
    if isinstance(node.value, dict):
        check_keys(node, built=_ALLOWANCE, known=())
        path = node.get("path")
        if path is None:
            raise wrong(node, "names no path")
        values = {name: as_text(found) for name, found in as_map(node).items()}
    else:
        path, values = node, {"path": as_text(node)}
    if not _PATH.fullmatch(values["path"]) or values["path"].partition(".")[0] not in _HEADS:
        hint = "such as services.web.environment.LOG_LEVEL or services.*.deploy.replicas"
        raise wrong(path, f"{values['path']!r} is no place in a declaration", hint=hint)
    return make(Allowance, node, values)
