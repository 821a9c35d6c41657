"""Top-level networks, secrets and configs as a swarm has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from bayplan.load.compose import keys as compose_keys
from bayplan.load.compose.grants import Places, is_external, read_content
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
from bayplan.load.compose.resources import final_name
from bayplan.load.compose.swarm import keys
from bayplan.load.compose.validate import make
from bayplan.models.swarm import Config, OverlayNetwork

_MTU = "com.docker.network.driver.mtu"
_C = TypeVar("_C", bound=Config)


def read_overlay(node: Node, key: str, project: str) -> OverlayNetwork:
    """A declared network. Raises DeclarationError for one that no service could be on."""
    values: dict[str, Any] = {"name": final_name(node, key, project)}
    if node.is_null:
        return make(OverlayNetwork, node, values)
    check_keys(node, built=keys.NETWORK, known=keys.NETWORK_REFUSED)
    if node.get("external") and is_external(node):
        return make(OverlayNetwork, node, {**values, "external": True})
    if (driver := node.get("driver")) and as_text(driver) != "overlay":
        raise wrong(
            driver, f"{as_text(driver)} is a network of one host; services need an overlay", hint="remove driver"
        )
    values["labels"] = text_map(node.get("labels"))
    values |= {name: as_flag(found) for name in ("attachable", "internal") if (found := node.get(name))}
    if options := node.get("driver_opts"):
        values |= _options(options)
    if ipam := node.get("ipam"):
        values |= _ipam(ipam)
    return make(OverlayNetwork, node, values, {"subnet": "ipam", "gateway": "ipam", "ip_range": "ipam", "mtu": ""})


def _options(node: Node) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for option, value in as_map(node).items():
        if option == "encrypted":  # Docker looks only whether it is there, and the word false means off
            values["encrypted"] = value.is_null or as_text(value).lower() != "false"
        elif option == _MTU:
            values["mtu"] = as_integer(value)
        else:
            raise not_built(value, f"option {option} of driver overlay is not built yet")
    return values


def _ipam(node: Node) -> dict[str, Any]:
    check_keys(node, built=compose_keys.IPAM_BUILT, known=compose_keys.IPAM_KNOWN)
    if (driver := node.get("driver")) and as_text(driver) != "default":
        raise not_built(driver, f"IPAM driver {as_text(driver)!r} is not built yet")
    config = node.get("config")
    pools = as_list(config) if config else []
    if len(pools) > 1:
        raise not_built(pools[1], "several ranges of an overlay network are not built yet")
    values: dict[str, Any] = {}
    for pool in pools:
        check_keys(pool, built=compose_keys.POOL_BUILT - {"aux_addresses"}, known={"aux_addresses"})
        values |= {name: as_text(value) for name, value in as_map(pool).items()}
    return values


def read_kept(model: type[_C], kind: str, declared: Mapping[str, Node], project: str, places: Places) -> dict[str, _C]:
    """The declared ``secrets`` or ``configs`` (``kind``) by their keys, with their contents. Raises DeclarationError.

    A content that is not there now is refused when the plan is made: a plan that removes needs none.
    """
    found = {}
    for key, node in declared.items():
        values: dict[str, Any] = {"name": final_name(node, key, project)}
        if is_external(node):
            values["external"] = True
        else:
            values |= {"content": read_content(node, key, kind, places), "labels": text_map(node.get("labels"))}
        found[key] = make(model, node, values)
    return found
