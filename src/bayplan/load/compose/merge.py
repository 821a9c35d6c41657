"""Several files into one: later files over earlier ones (Compose specification, "Merge")."""

from __future__ import annotations

import re
from dataclasses import replace

from bayplan.load.compose.nodes import Node, as_text, kind_of, wrong

_PLAIN = re.compile(r"\[\d+\]")
_REPLACED = frozenset({"command", "entrypoint", "healthcheck.test"})
_KEYED = frozenset(
    {
        *("environment", "labels", "annotations", "sysctls", "depends_on", "networks"),
        *("build.args", "build.labels", "deploy.labels"),
    }
)
_LISTED = frozenset({"env_file", "label_file", "tmpfs", "dns", "dns_search"})


def merge(base: Node, over: Node) -> Node:
    """``over`` laid on ``base``; ``!reset`` removes, ``!override`` replaces. Raises DeclarationError."""
    return _merge(base, over)


def settle(node: Node) -> Node:
    """The tree without what ``!reset`` marks; a marked value that met nothing to remove is dropped as well."""
    value = node.value
    if isinstance(value, dict):
        value = {key: settle(item) for key, item in value.items() if item.tag != "reset"}
    elif isinstance(value, list):
        value = [settle(item) for item in value if item.tag != "reset"]
    return replace(node, value=value, tag="")


def _attribute(path: str) -> str:
    """``services.web.healthcheck.test`` as ``healthcheck.test``; ``networks.front.labels`` as ``labels``."""
    parts = _PLAIN.sub("", path).split(".", 2)
    return parts[2] if len(parts) == 3 else ""


def _merge(base: Node, over: Node) -> Node:
    attribute = _attribute(over.path)
    if over.tag == "override" or attribute in _REPLACED:
        return settle(over)
    if attribute in _KEYED:
        base, over = keyed(base), keyed(over)
    elif attribute in _LISTED:
        base, over = _listed(base), _listed(over)
    elif attribute == "extra_hosts":
        base, over = _hosts(base), _hosts(over)
    elif attribute == "build":
        base, over = _build(base), _build(over)
    if over.is_null:
        return base
    if base.is_null or (attribute.startswith("ulimits.") and not _both(base, over, dict)):
        return settle(over)
    if isinstance(base.value, dict) and isinstance(over.value, dict):
        plain = attribute in ("environment", "labels", "sysctls", "build.args")
        return _merge_maps(base, over, base.value, over.value, replace_null=plain)
    if isinstance(base.value, list) and isinstance(over.value, list):
        return replace(over, value=_appended(base.value, over.value))
    if isinstance(base.value, (list, dict)) or isinstance(over.value, (list, dict)):
        raise wrong(over, f"{kind_of(over)} cannot be merged over {kind_of(base)} from {base.at}")
    return over


def _both(base: Node, over: Node, kind: type) -> bool:
    return isinstance(base.value, kind) and isinstance(over.value, kind)


def _merge_maps(
    base: Node, over: Node, under: dict[str, Node], entries: dict[str, Node], *, replace_null: bool
) -> Node:
    result, keys = dict(under), dict(base.keys)
    for key, item in entries.items():
        if item.tag == "reset":
            result.pop(key, None)
            continue
        plain = key not in result or (replace_null and item.is_null)
        result[key] = settle(item) if plain else _merge(result[key], item)
        keys[key] = over.keys.get(key, item.at)
    return replace(base, value=result, keys=keys)


def keyed(node: Node) -> Node:
    """A list ``[K=v, K]`` as a map; other nodes as they are."""
    if not isinstance(node.value, list):
        return node
    entries: dict[str, Node] = {}
    for item in node.value:
        key, equals, value = as_text(item).partition("=")
        entries[key] = item.with_value(value if equals else None)
    return replace(node, value=entries, keys={key: item.at for key, item in entries.items()})


def _appended(base: list[Node], over: list[Node]) -> list[Node]:
    """Both, a plain value once (compose-go, ``override/uncity.go``): commands are replaced and never come here."""
    seen = {str(item.value) for item in base if not isinstance(item.value, (list, dict))}
    new = [settle(item) for item in over if isinstance(item.value, (list, dict)) or str(item.value) not in seen]
    return base + new


def _hosts(node: Node) -> Node:
    """``{NAME: ADDRESS}`` as ``[NAME=ADDRESS]``: a name that both files have gets both addresses."""
    if not isinstance(node.value, dict):
        return node
    entries = [
        one.with_value(f"{name}={as_text(one)}")
        for name, item in node.value.items()
        for one in (item.value if isinstance(item.value, list) else [item])
    ]
    return replace(node, value=entries, keys={})


def _listed(node: Node) -> Node:
    return node if isinstance(node.value, list) or node.is_null else node.with_value([replace(node, tag="")])


def _build(node: Node) -> Node:
    if isinstance(node.value, (dict, list)) or node.is_null:
        return node
    return replace(node, value={"context": node}, keys={"context": node.at})
