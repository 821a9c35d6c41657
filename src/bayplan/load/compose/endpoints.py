"""``networks`` of a service: the places of one container on its networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bayplan.load.compose import keys
from bayplan.load.compose.nodes import Node, as_integer, as_map, as_text, check_keys, not_built, texts, wrong
from bayplan.load.compose.resources import HOST_BINDING, final_name
from bayplan.load.compose.validate import make
from bayplan.models import Endpoint, Port


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
            check_keys(place, built=keys.ENDPOINT_BUILT)
            if found := place.get("aliases"):
                aliases += texts(found)
            if found := place.get("priority"):
                priority = as_integer(found)
            for field in ("ipv4_address", "ipv6_address", "mac_address"):
                if found := place.get(field):
                    values[field] = as_text(found).lower()
            values |= _link(place)
        values["aliases"] = tuple(dict.fromkeys([*aliases, *linked.get(network, ())]))
        ranked.append((-priority, make(Endpoint, place, values)))
    placed = [endpoint for _, endpoint in sorted(ranked, key=lambda one: one[0])]
    if placed and (mac := service.get("mac_address")):
        placed[0] = _with_mac(placed[0], mac)
    return tuple(placed)


def _link(place: Node) -> dict[str, Any]:
    """What is said of the link itself; of ``driver_opts`` Docker has these two for a bridge."""
    values: dict[str, Any] = {}
    readers: dict[str, Callable[[Node], Any]] = {
        "gw_priority": as_integer,
        "interface_name": as_text,
        "link_local_ips": texts,
    }
    values |= {name: read(found) for name, read in readers.items() if (found := place.get(name))}
    options = place.get("driver_opts")
    for option, value in as_map(options).items() if options else ():
        if option == "com.docker.network.endpoint.ifname":
            values.setdefault("interface_name", as_text(value))
        elif option == "com.docker.network.endpoint.sysctls":
            pairs = (one.strip().partition("=") for one in as_text(value).split(","))
            values["sysctls"] = {name: setting for name, _, setting in pairs}
        else:
            raise not_built(value, f"option {option} of a container's link is not built yet")
    return values


def bound(ports: tuple[Port, ...], service: Node, declared: Mapping[str, Node]) -> tuple[Port, ...]:
    """Ports that name no address, on that of their network: ``com.docker.network.bridge.host_binding_ipv4``.

    That of the first network of the service which has one.
    """
    for key in wanted(service):
        node = declared.get(key)
        options = node.get("driver_opts") if node else None
        address = options.get(HOST_BINDING) if options else None
        if address:
            return tuple(port if port.host_ip else _on(port, address) for port in ports)
    return ports


def _on(port: Port, address: Node) -> Port:
    return make(Port, address, {**port.model_dump(exclude_none=True), "host_ip": as_text(address)}, {"host_ip": ""})


def _with_mac(first: Endpoint, mac: Node) -> Endpoint:
    """``mac_address`` of the service is that of its first network, as Docker has it."""
    text = as_text(mac).lower()
    if first.mac_address not in (None, text):
        raise wrong(mac, f"network {first.network} has {first.mac_address}", hint="remove one of them")
    return make(Endpoint, mac, {**first.model_dump(), "mac_address": text})
