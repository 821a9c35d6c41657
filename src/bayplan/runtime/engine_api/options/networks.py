"""A network in the words of Docker's API: as ``docker network create`` writes it, and as its list shows it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from bayplan.models import Network
from bayplan.models.network import MODES, AddressRange
from bayplan.runtime.engine_api.engine import Engine
from bayplan.runtime.engine_api.options.labels import public_labels
from bayplan.runtime.engine_api.options.option import Gap, build
from bayplan.runtime.protocol import Observed

BRIDGE = "com.docker.network.bridge."
MTU = "com.docker.network.driver.mtu"
_OWN_POOLS = (1, 46)
_UNIQUE_LOCAL = IPv6Network("fd00::/8")


def written(network: Network, engine: Engine, others: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The create body but for its labels. ``others`` have ranges that are taken."""
    options: dict[str, str] = {}
    if network.mtu:
        options[MTU] = str(network.mtu)
    if network.bridge_name:
        options[f"{BRIDGE}name"] = network.bridge_name
    if not network.icc:
        options[f"{BRIDGE}enable_icc"] = "false"
    if not network.masquerade:
        options[f"{BRIDGE}enable_ip_masquerade"] = "false"
    if network.parent:
        options["parent"] = network.parent
    if network.mode:
        options[f"{network.driver}_mode"] = network.mode
    return {
        "Name": network.name,
        "CheckDuplicate": True,  # two networks may have one name before API 1.44
        "Driver": network.driver,
        "Internal": network.internal,
        "EnableIPv6": network.enable_ipv6,
        "IPAM": {"Driver": "default", "Config": list(_pools(network, engine, others))},
        "Options": options,
    }


def _pools(network: Network, engine: Engine, others: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    six = network.ipv6_subnet
    if network.enable_ipv6 and six is None and not engine.speaks(_OWN_POOLS):
        six = _unique_local(network, engine, others)
    for subnet, gateway, part in (
        (network.subnet, network.gateway, network.ip_range),
        (six, network.ipv6_gateway, network.ipv6_range),
        *((one.subnet, one.gateway, one.ip_range) for one in network.further_ranges),
    ):
        if subnet is None:
            continue
        pool: dict[str, Any] = {"Subnet": str(subnet)}
        if gateway:
            pool["Gateway"] = str(gateway)
        if part:
            pool["IPRange"] = str(part)
        reserved = {name: str(address) for name, address in network.aux_addresses.items() if address in subnet}
        yield pool | ({"AuxiliaryAddresses": reserved} if reserved else {})


def _unique_local(network: Network, engine: Engine, others: Sequence[Mapping[str, Any]]) -> IPv6Network:
    """A /64 of RFC 4193 for one that declares none: the engine has no pool of them. The same for the same network."""
    taken = [one for other in others for one in _subnets(other) if isinstance(one, IPv6Network)]
    number = int.from_bytes(hashlib.sha256(f"{engine.id}/{network.name}".encode()).digest()[:7])
    while True:
        found = IPv6Network((int(_UNIQUE_LOCAL.network_address) | number << 64, 64))
        if not any(found.overlaps(one) for one in taken):
            return found
        number = (number + 1) % (1 << 56)


def _subnets(found: Mapping[str, Any]) -> list[IPv4Network | IPv6Network]:
    pools = (found.get("IPAM") or {}).get("Config") or ()
    return [ip_network(pool["Subnet"], strict=False) for pool in pools if pool.get("Subnet")]


def read(found: Mapping[str, Any]) -> Network:
    """A network from what the engine says; ranges as they are, also those that it chose."""
    options, driver = found.get("Options") or {}, str(found.get("Driver", ""))
    values: dict[str, Any] = {"aux_addresses": {}}
    further: list[AddressRange] = []
    for pool in (found.get("IPAM") or {}).get("Config") or ():
        if not pool.get("Subnet"):
            continue
        subnet = ip_network(pool["Subnet"], strict=False)
        part = ip_network(pool["IPRange"], strict=False) if pool.get("IPRange") else None
        gateway = ip_address(pool["Gateway"].partition("/")[0]) if pool.get("Gateway") else None
        reserved = pool.get("AuxiliaryAddresses") or {}
        values["aux_addresses"] |= {name: ip_address(address) for name, address in reserved.items()}
        prefix = "ipv6_" if subnet.version == 6 else ""
        if f"{prefix}subnet" in values:
            further.append(build(AddressRange, subnet=subnet, gateway=gateway, ip_range=part))
            continue
        values |= {
            f"{prefix}subnet": subnet,
            f"{prefix}gateway": None if gateway == subnet[1] else gateway,
            f"{prefix}range" if prefix else "ip_range": part,
        }
    return build(
        Network,
        name=str(found["Name"]),
        driver=driver,
        internal=bool(found.get("Internal")),
        enable_ipv6=bool(found.get("EnableIPv6")),
        further_ranges=tuple(further),
        mtu=int(options[MTU]) if options.get(MTU) else None,
        bridge_name=options.get(f"{BRIDGE}name"),
        icc=options.get(f"{BRIDGE}enable_icc", "true") == "true",
        masquerade=options.get(f"{BRIDGE}enable_ip_masquerade", "true") == "true",
        parent=options.get("parent"),
        mode=options.get(f"{driver}_mode"),
        labels=public_labels(found.get("Labels")),
        **values,
    )


_CHOSEN = ("subnet", "gateway", "ip_range", "ipv6_subnet", "ipv6_gateway", "ipv6_range", "mode", "further_ranges")
"""What an engine chooses where a declaration says nothing."""
_UNKNOWN = ("source_check", "external", "labels")
"""What it does not know; labels of what is there cannot be changed, so that the record alone has them."""


def settled(declared: Network, actual: Network) -> Network:
    """The declaration, with what is not as it says."""
    values: dict[str, Any] = {}
    for name in type(declared).model_fields:
        wanted, found = getattr(declared, name), getattr(actual, name)
        if name in _UNKNOWN or (name in _CHOSEN and not wanted) or _alike(name, wanted, found, declared):
            continue
        values[name] = found
    return declared.model_copy(update={"name": actual.name, **values})


def _alike(name: str, wanted: Any, found: Any, declared: Network) -> bool:
    if name in ("gateway", "ipv6_gateway"):
        subnet = declared.subnet if name == "gateway" else declared.ipv6_subnet
        return bool(wanted == found or (found is None and subnet and wanted == subnet[1]))
    return bool(wanted == found)


def aligned(desired: Network, observed: Observed) -> Observed:
    """The observed network with the desired spelling of what means the same."""
    actual = observed.actual
    assert isinstance(actual, Network)
    values: dict[str, Any] = {
        name: getattr(desired, name)
        for name in ("gateway", "ipv6_gateway")
        if _alike(name, getattr(desired, name), getattr(actual, name), desired)
    }
    if observed.declared is None:
        values["source_check"] = desired.source_check
        if public_labels(desired.labels) == actual.labels:
            values["labels"] = desired.labels
        if actual.mode == (MODES[desired.driver] or (None,))[0]:
            values["mode"] = desired.mode or actual.mode
    return observed.model_copy(update={"actual": actual.model_copy(update=values)})


def gaps(network: Network, engine: Engine) -> Iterator[Gap]:
    """What this engine cannot honour of a network."""
    if network.further_ranges and network.bridged:
        yield "network.further_ranges", "a bridge of its has one range of each family"
