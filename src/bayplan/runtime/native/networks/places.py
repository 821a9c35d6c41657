"""What is recorded of containers' places on networks, and what a container is told of its own."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from sqlite3 import Row

from bayplan.models import Endpoint, Network
from bayplan.runtime.native.networks.addresses import mac_of
from bayplan.runtime.native.networks.links import Place
from bayplan.system.namespaces import NetworkNamespace

PLACES = """
    SELECT e.*, n.bridge, n.subnet, n.gateway, n.subnet6, n.gateway6, n.declared FROM endpoints e JOIN networks n
    ON n.name = e.network WHERE e.container_id = ? ORDER BY e.position
"""
"""The places of one container, each with what is known of its network."""
SENDERS = """
    SELECT e.container_id, e.link, e.mac, e.address, e.address6, 1 AS guarded,
           coalesce(json_extract(n.declared, '$.source_check'), 1) = 0 AS free
    FROM endpoints e JOIN networks n ON n.name = e.network
"""


@functools.lru_cache(maxsize=256)
def recorded(text: str) -> Network:
    """A recorded declaration as a model; models are frozen, so that many may share one."""
    return Network.model_validate_json(text)


def moves(row: Row, endpoint: Endpoint) -> bool:
    """Whether a recorded place has another address than is declared now; one that is not declared stays."""
    other4 = endpoint.ipv4_address and str(endpoint.ipv4_address) != row["address"]
    other6 = endpoint.ipv6_address and str(endpoint.ipv6_address) != row["address6"]
    mac = endpoint.mac_address or mac_of(IPv4Address(row["address"]))
    return bool(other4 or other6 or mac != row["mac"])


def place_of(row: Row) -> Place:
    """A recorded endpoint's link; ``row`` is one of ``PLACES``."""
    address6 = IPv6Address(row["address6"]) if row["address6"] else None
    return Place(
        row["link"],
        row["bridge"],
        row["interface"] or f"eth{row['position']}",
        row["mac"],
        IPv4Address(row["address"]),
        IPv4Network(row["subnet"]).prefixlen,
        address6,
        IPv6Network(row["subnet6"]).prefixlen if address6 else 0,
    )


@dataclass(frozen=True)
class Attachment:
    """A container's place on its networks: its namespace, its address on each network, and whom it asks for names."""

    netns: NetworkNamespace
    addresses: dict[str, IPv4Address]
    name_server: IPv4Address | None = None
    """None: those of the host, as no gateway of its networks can answer."""
    places: tuple[Place, ...] = ()
    gateway: IPv4Address | None = None
    """Its way out; None when all its networks are internal."""
    gateway6: IPv6Address | None = None
    """Its way out by IPv6; None when no network that is not internal has IPv6."""

    @property
    def own(self) -> dict[str, str]:
        """Its own addresses, for its hosts file."""
        six = {f"{place.host_name} IPv6": str(place.address6) for place in self.places if place.address6}
        return {network: str(address) for network, address in self.addresses.items()} | six
