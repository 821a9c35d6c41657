"""Networks as a user sees them by name: all of them, and one as `docker network inspect` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from sqlite3 import Row
from typing import Any

from bayplan.errors import NotFoundError
from bayplan.models import Network
from bayplan.runtime.native.networks.networks import BUILD_PREFIX, Networks
from bayplan.runtime.native.networks.places import range_of, ranges_of, recorded
from bayplan.runtime.protocol import Observed

_DECLARED = """
    SELECT c.name, json_extract(one.value, '$.network') AS network
    FROM containers c, json_each(iif(c.joined = '', json_extract(c.declared, '$.networks'), c.joined)) one
"""
_MEMBERS = """
    SELECT e.*, c.name FROM endpoints e LEFT JOIN containers c ON c.id = e.container_id
    WHERE e.network = ? ORDER BY c.name
"""


def there(networks: Networks) -> list[tuple[Observed, tuple[str, ...]]]:
    """Every network but those of image builds, with the containers that are on it, or will be when they start."""
    rows = networks.database.query("SELECT name FROM networks")
    names = [str(row[0]) for row in rows if not str(row[0]).startswith(BUILD_PREFIX)]
    users = {name: set(networks.users(name)) for name in names}
    for row in networks.database.query(_DECLARED):
        users.get(str(row["network"]), set()).add(str(row["name"]))
    return [(item, tuple(sorted(users[item.id.name]))) for item in networks.observe(None, names)]


def inspect(networks: Networks, name: str) -> Mapping[str, Any]:
    """Docker's shape (Engine API, NetworkInspect). Raises NotFoundError."""
    rows = networks.database.query("SELECT * FROM networks WHERE name = ?", (name,))
    if not rows:
        raise NotFoundError(f"network {name} does not exist", hint="see `bayplan network ls`")
    row, declared = rows[0], recorded(rows[0]["declared"])
    members = networks.database.query(_MEMBERS, (name,))
    return {
        "Name": name,
        "Id": row["bridge"],
        "Created": str(row["created_at"]).replace("+00:00", "Z"),
        "Scope": "local",
        "Driver": declared.driver,
        "EnableIPv4": declared.enable_ipv4,
        "EnableIPv6": declared.enable_ipv6,
        "IPAM": {"Driver": "default", "Options": None, "Config": _ranges(row, declared)},
        "Internal": declared.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {member["container_id"]: _member(member, row) for member in members},
        "Options": _options(declared),
        "Labels": dict(declared.labels),
    }


def _options(declared: Network) -> dict[str, str]:
    """What is declared of the driver, under Docker's names."""
    bridge = "com.docker.network.bridge"
    every = {
        "com.docker.network.driver.mtu": declared.mtu,
        "parent": declared.parent,
        f"{declared.driver}_mode": declared.mode,
        f"{bridge}.name": declared.bridge_name,
        f"{bridge}.enable_icc": None if declared.icc else "false",
        f"{bridge}.enable_ip_masquerade": None if declared.masquerade else "false",
        "bayplan.source_check": None if declared.source_check else "false",
    }
    return {name: str(value) for name, value in every.items() if value is not None}


def _ranges(row: Row, declared: Network) -> list[dict[str, Any]]:
    known = ranges_of(row)
    found: list[dict[str, Any]] = [{"Subnet": str(one.subnet), "Gateway": str(one.way)} for one in known]
    for one, entry in zip(known, found, strict=True):
        if one.ip_range:
            entry["IPRange"] = str(one.ip_range)
        for name, address in declared.aux_addresses.items():
            if address in one.subnet:
                entry.setdefault("AuxiliaryAddresses", {})[name] = str(address)
    return found


def ranges_of_endpoint(row: Row) -> dict[str, str]:
    """Range and gateway of each family that a container's own addresses are of."""
    found: dict[str, str] = {}
    for six in ("", "6"):
        if address := row[f"address{six}"]:
            one = range_of(row, address)
            found |= {f"subnet{six}": str(one.subnet), f"gateway{six}": str(one.way)}
    return found


def _member(member: Row, row: Row) -> dict[str, str]:
    def with_prefix(address: str) -> str:
        found = (one.subnet.prefixlen for one in ranges_of(row) if address and ip_address(address) in one.subnet)
        return f"{address}/{next(found)}" if address else ""

    return {
        "Name": member["name"] or member["container_id"][:12],
        "EndpointID": member["link"],
        "MacAddress": member["mac"],
        "IPv4Address": with_prefix(member["address"]),
        "IPv6Address": with_prefix(member["address6"]),
    }
