"""``ports``: short and long syntax to models, ranges expanded."""

from __future__ import annotations

import re

from bayplan.load.compose import keys
from bayplan.load.compose.nodes import Node, as_integer, as_list, as_text, check_keys, wrong
from bayplan.load.compose.validate import make
from bayplan.models import Port

_RANGE = re.compile(r"^(\d+)(?:-(\d+))?$")


def read_ports(node: Node) -> tuple[Port, ...]:
    """The ports of a service, each once (address, published port, target, protocol). Raises DeclarationError."""
    found: dict[str, Port] = {}
    for item in as_list(node):
        for port in ports_of(item):
            found.setdefault(str(port), port)
    return tuple(found.values())


def ports_of(item: Node) -> list[Port]:
    """The ports that one entry stands for. Raises DeclarationError."""
    return _long(item) if isinstance(item.value, dict) else _short(item)


def _short(node: Node) -> list[Port]:
    text = as_text(node)
    rest, _, protocol = text.partition("/")
    # An IPv6 address has colons of its own; with brackets or (as Compose reads it too) without.
    address, *numbers = rest.rsplit(":", 2) if rest.count(":") > 1 else ("", *rest.split(":"))
    published = numbers[0] if len(numbers) == 2 else ""
    return _expand(node, numbers[-1], published, address, protocol)


def _long(node: Node) -> list[Port]:
    check_keys(node, built=keys.PORT_BUILT)
    target = node.get("target")
    if target is None:
        raise wrong(node, "names no target port")
    mode = node.get("mode")
    if mode and as_text(mode) not in ("host", "ingress"):
        raise wrong(mode, "must be host or ingress")
    values = {key: as_text(found) if (found := node.get(key)) else "" for key in ("published", "host_ip", "protocol")}
    return _expand(node, str(as_integer(target)), values["published"], values["host_ip"], values["protocol"])


def _expand(node: Node, target: str, published: str, host_ip: str, protocol: str) -> list[Port]:
    bare = host_ip[1:-1] if host_ip.startswith("[") and host_ip.endswith("]") else host_ip
    common = {key: value for key, value in (("host_ip", bare), ("protocol", protocol.lower())) if value}
    inside = _numbers(node, target)
    if published in ("", "0"):
        return [make(Port, node, {"target": one, **common}) for one in inside]
    outside = _numbers(node, published)
    if len(inside) == 1 and len(outside) > 1:
        return [make(Port, node, {"target": inside[0], "published": outside[0], "last": outside[-1], **common})]
    if len(inside) != len(outside):
        raise wrong(node, f"ranges {published} and {target} differ in length")
    return [
        make(Port, node, {"target": one, "published": other, **common})
        for one, other in zip(inside, outside, strict=True)
    ]


def _numbers(node: Node, text: str) -> range:
    found = _RANGE.match(text)
    if not found:
        raise wrong(node, f"{text!r} is not a port or a range of ports")
    first, last = int(found[1]), int(found[2] or found[1])
    if not (0 < first <= last <= 65535):
        raise wrong(node, f"{text!r}: ports lie between 1 and 65535, the lower one first")
    return range(first, last + 1)
