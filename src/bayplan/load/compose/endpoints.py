"""``networks`` of a service: the places of one container on its networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.load.compose import keys
from bayplan.load.compose.nodes import Node, as_integer, as_map, as_text, check_keys, texts, wrong
from bayplan.load.compose.resources import final_name
from bayplan.load.compose.validate import make
from bayplan.models import Endpoint


def wanted(service: Node) -> dict[str, Node]:
    """The keys of the networks that a service is on, each with its options; ``default`` when it names none."""
    given = service.get("networks")
    if given and isinstance(given.value, list):
        return {as_text(item): item.with_value(None) for item in given.value}
    return as_map(given) if given else {"default": Node(None, service.at, service.path)}


def endpoints(
    service: Node,
    names: tuple[str, ...],
    declared: Mapping[str, Node],
    project: str,
    linked: Mapping[str, tuple[str, ...]],
) -> tuple[Endpoint, ...]:
    """The endpoints of a container, found by ``names``; by priority, highest first. Raises DeclarationError.

    ``linked`` are further names on single networks.
    """
    ranked: list[tuple[int, Endpoint]] = []
    for network, place in wanted(service).items():
        node = declared.get(network)
        if node is None and network != "default":
            raise wrong(place, f"network {network!r} is not declared", hint="add it under the top-level networks")
        values: dict[str, Any] = {"network": final_name(node, network, project)}
        aliases, priority = list(names), 0
        if not place.is_null:
            check_keys(place, built=keys.ENDPOINT_BUILT, known=keys.ENDPOINT_KNOWN)
            if found := place.get("aliases"):
                aliases += texts(found)
            if found := place.get("priority"):
                priority = as_integer(found)
            for field in ("ipv4_address", "ipv6_address", "mac_address"):
                if found := place.get(field):
                    values[field] = as_text(found).lower()
        values["aliases"] = tuple(dict.fromkeys([*aliases, *linked.get(network, ())]))
        ranked.append((-priority, make(Endpoint, place, values)))
    placed = [endpoint for _, endpoint in sorted(ranked, key=lambda one: one[0])]
    if placed and (mac := service.get("mac_address")):
        placed[0] = _with_mac(placed[0], mac)
    return tuple(placed)


def _with_mac(first: Endpoint, mac: Node) -> Endpoint:
    """``mac_address`` of the service is that of its first network, as Docker has it."""
    text = as_text(mac).lower()
    if first.mac_address not in (None, text):
        raise wrong(mac, f"network {first.network} has {first.mac_address}", hint="remove one of them")
    return make(Endpoint, mac, {**first.model_dump(), "mac_address": text})
