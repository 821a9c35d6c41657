"""Top-level networks and volumes to models, under their final names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bayplan.load.compose import keys
from bayplan.load.compose.nodes import (
    Node,
    as_flag,
    as_integer,
    as_list,
    as_map,
    as_text,
    check_keys,
    not_built,
    text_map,
    wrong,
)
from bayplan.load.compose.validate import make
from bayplan.models import Network, Volume, labels
from bayplan.models.network import MODES

_MTU = "com.docker.network.driver.mtu"
HOST_BINDING = "com.docker.network.bridge.host_binding_ipv4"
_BRIDGE_OPTIONS: dict[str, tuple[str, Callable[[Node], Any]]] = {
    "com.docker.network.bridge.name": ("bridge_name", as_text),
    "com.docker.network.bridge.enable_icc": ("icc", as_flag),
    "com.docker.network.bridge.enable_ip_masquerade": ("masquerade", as_flag),
    "bayplan.source_check": ("source_check", as_flag),
}
_SIX = {"subnet": "ipv6_subnet", "gateway": "ipv6_gateway", "ip_range": "ipv6_range"}
"""Keys of an address range to fields, when the range is IPv6."""


def final_name(node: Node | None, key: str, project: str) -> str:
    """``name:`` when given, the bare key of an external one, else ``<project>_<key>``."""
    if node is not None and isinstance(node.value, dict):
        if name := node.get("name"):
            return as_text(name)
        external = node.get("external")
        if external and isinstance(external.value, dict):
            inner = external.get("name")
            return as_text(inner) if inner else key
        if external and as_flag(external):
            return key
    return f"{project}_{key}"


def _external(node: Node) -> bool:
    found = node.get("external")
    return found is not None and (isinstance(found.value, dict) or as_flag(found))


def read_volume(node: Node, key: str, project: str) -> Volume:
    """A declared volume. Raises DeclarationError."""
    name = final_name(node, key, project)
    own = {labels.PROJECT: project, labels.VOLUME: key, labels.MANAGED: "true"}
    if node.is_null:
        return make(Volume, node, {"name": name, "labels": own})
    check_keys(node, built=keys.VOLUME_BUILT)
    if _external(node):
        return make(Volume, node, {"name": name, "external": True})
    driver, options = node.get("driver"), node.get("driver_opts")
    if driver and as_text(driver) != "local":
        raise not_built(driver, f"volume driver {as_text(driver)!r} is not built yet")
    values: dict[str, Any] = {"name": name, "labels": {**text_map(node.get("labels")), **own}}
    if options:
        values["driver_opts"] = {option: as_text(value) for option, value in as_map(options).items()}
    return make(Volume, node, values)


def read_network(node: Node, key: str, project: str) -> Network:
    """A declared network. Raises DeclarationError."""
    name = final_name(node, key, project)
    own = {labels.PROJECT: project, labels.NETWORK: key, labels.MANAGED: "true"}
    if node.is_null:
        return make(Network, node, {"name": name, "labels": own})
    check_keys(node, built=keys.NETWORK_BUILT)
    if _external(node):
        return make(Network, node, {"name": name, "external": True})
    values: dict[str, Any] = {"name": name, "labels": {**text_map(node.get("labels")), **own}}
    driver = node.get("driver")
    values["driver"] = as_text(driver) if driver else "bridge"
    if driver and values["driver"] not in MODES:
        raise not_built(driver, f"network driver {as_text(driver)!r} is not built yet")
    if internal := node.get("internal"):
        values["internal"] = as_flag(internal)
    if found := node.get("enable_ipv4"):
        values["enable_ipv4"] = as_flag(found)
    if found := node.get("enable_ipv6"):
        values["enable_ipv6"] = as_flag(found)
    if options := node.get("driver_opts"):
        for option, value in as_map(options).items():
            values |= _option(values["driver"], option, value)
    if ipam := node.get("ipam"):
        values |= _ipam(ipam)
    places = dict.fromkeys((*_SIX, *_SIX.values(), "aux_addresses", "further_ranges"), "ipam")
    places |= dict.fromkeys(("parent", "mode", "mtu", "bridge_name"), "driver_opts")
    return make(Network, node, values, places)


def _option(driver: str, option: str, value: Node) -> dict[str, Any]:
    """One of ``driver_opts`` as fields (docs.docker.com, "Bridge network driver" and the like)."""
    readers: dict[str, tuple[str, Callable[[Node], Any]]] = {_MTU: ("mtu", as_integer)}
    if driver == "bridge":
        readers |= _BRIDGE_OPTIONS
        if option == HOST_BINDING:  # for the ports of services, which read it themselves
            return {}
    else:
        readers |= {"parent": ("parent", as_text), f"{driver}_mode": ("mode", as_text)}
    if option not in readers:
        raise not_built(value, f"option {option} of driver {driver} is not built yet")
    field, read = readers[option]
    return {field: read(value)}


def _ipam(node: Node) -> dict[str, Any]:
    check_keys(node, built=keys.IPAM_BUILT, known=keys.IPAM_KNOWN)
    if (driver := node.get("driver")) and as_text(driver) != "default":
        raise not_built(driver, f"IPAM driver {as_text(driver)!r} is not built yet")
    config = node.get("config")
    values: dict[str, Any] = {}
    further: list[dict[str, str]] = []
    for pool in as_list(config) if config else []:
        check_keys(pool, built=keys.POOL_BUILT)
        subnet = pool.get("subnet")
        if subnet is None:
            if as_map(pool):
                raise wrong(pool, "gateway, ip_range and aux_addresses need a subnet")
            continue
        six = ":" in as_text(subnet)
        if ("ipv6_subnet" if six else "subnet") in values:
            texts = {name: value for name, value in as_map(pool).items() if name != "aux_addresses"}
            further.append({name: as_text(value) for name, value in texts.items()})
        for name, value in as_map(pool).items():
            if name == "aux_addresses":
                values[name] = {**values.get(name, {}), **text_map(value)}
                continue
            if (":" in as_text(value)) is not six:
                raise wrong(value, f"{as_text(value)} is not of the family of subnet {as_text(subnet)}")
            if not further or further[-1].get("subnet") != as_text(subnet):
                values[_SIX[name] if six else name] = as_text(value)
    return {**values, "further_ranges": tuple(further)} if further else values
