"""What is recorded of containers' places on networks, and what a container is told of its own."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from sqlite3 import Row
from types import MappingProxyType

from bayplan.models import Endpoint, Network
from bayplan.models.network import MODES, AddressRange
from bayplan.runtime.native.networks.addresses import mac_of, ranges, ranges_v6
from bayplan.runtime.native.networks.inside import Place, Way
from bayplan.system.namespaces import NetworkNamespace
from bayplan.values import frozen

PLACES = """
    SELECT e.*, n.bridge, n.subnet, n.gateway, n.subnet6, n.gateway6, n.declared FROM endpoints e JOIN networks n
    ON n.name = e.network WHERE e.container_id = ? ORDER BY e.position
"""
"""The places of one container, each with what is known of its network."""
SENDERS = """
    SELECT e.container_id, e.link, e.mac, e.address, e.address6, e.asked,
           coalesce(json_extract(n.declared, '$.driver'), 'bridge') = 'bridge' AS guarded,
           coalesce(json_extract(n.declared, '$.source_check'), 1) = 0 AS free
    FROM endpoints e JOIN networks n ON n.name = e.network
"""


@functools.lru_cache(maxsize=256)
def recorded(text: str) -> Network:
    """A recorded declaration as a model; models are frozen, so that many may share one."""
    return Network.model_validate_json(text)


@functools.lru_cache(maxsize=1024)
def _asked(text: str) -> Endpoint:
    return Endpoint.model_validate_json(text)


def asked(row: Row) -> Endpoint:
    """An endpoint as it was declared when it was recorded."""
    return _asked(row["asked"]) if row["asked"] else Endpoint(network=row["network"])


def moves(row: Row, endpoint: Endpoint) -> bool:
    """Whether a recorded place has another link than is declared now; an address that is not declared stays."""
    other4 = endpoint.ipv4_address and str(endpoint.ipv4_address) != row["address"]
    other6 = endpoint.ipv6_address and str(endpoint.ipv6_address) != row["address6"]
    mac = endpoint.mac_address or mac_of(ip_address(first_address(row)))
    if other4 or other6 or (row["mac"] and mac != row["mac"]):
        return True
    before = asked(row)
    return any(
        getattr(before, name) != getattr(endpoint, name) for name in ("interface_name", "link_local_ips", "sysctls")
    )


def first_address(row: Row) -> str:
    """The address by which a recorded endpoint is known: IPv4, or IPv6 on a network without it."""
    return str(row["address"] or row["address6"])


def place_of(row: Row) -> Place:
    """A recorded endpoint's link; ``row`` is one of ``PLACES``."""
    network, endpoint = recorded(row["declared"]), asked(row)
    address = IPv4Address(row["address"]) if row["address"] else None
    address6 = IPv6Address(row["address6"]) if row["address6"] else None
    return Place(
        row["link"],
        row["bridge"],
        inside_name(row),
        row["mac"],
        address,
        range_of(row, row["address"]).subnet.prefixlen if address else 0,
        address6,
        range_of(row, row["address6"]).subnet.prefixlen if address6 else 0,
        driver=network.driver,
        parent=network.parent or "",
        mode=network.mode or next(iter(MODES[network.driver]), ""),
        mtu=network.mtu,
        isolated=not network.icc,
        further=endpoint.link_local_ips,
        sysctls=endpoint.sysctls,
    )


def ranges_of(row: Row) -> tuple[AddressRange, ...]:
    """All ranges of a recorded network."""
    return _ranges(row["declared"], row["subnet"], row["subnet6"])


@functools.lru_cache(maxsize=256)
def _ranges(declared: str, subnet: str, subnet6: str) -> tuple[AddressRange, ...]:
    network = recorded(declared)
    four = ranges(network, IPv4Network(subnet)) if subnet else ()
    return (*four, *(ranges_v6(network, IPv6Network(subnet6)) if subnet6 else ()))


def range_of(row: Row, address: str) -> AddressRange:
    """The range of a recorded network that an address is of."""
    known = ranges_of(row)
    if len(known) == 1:
        return known[0]
    wanted = ip_address(address)
    return next(one for one in known if wanted in one.subnet)


def inside_name(row: Row) -> str:
    """Name of a recorded link inside."""
    return str(row["interface"] or f"eth{row['position']}")


def inside_names(endpoints: Sequence[Endpoint], held: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """Names of links inside by network: what they are called in ``held``, what is declared, else the next free ethN."""
    names = {one.network: one.interface_name for one in endpoints if one.interface_name} | dict(held)
    free = (name for name in map("eth{}".format, itertools.count()) if name not in names.values())
    return {one.network: names.get(one.network) or next(free) for one in endpoints}


def ways(rows: Iterable[Row]) -> tuple[Way, ...]:
    """The ways out of a container with these places, one of each family at most."""
    open_ones = [row for row in rows if not recorded(row["declared"]).internal]
    open_ones.sort(key=lambda row: (-asked(row).gw_priority, row["position"]))
    four = [(range_of(row, row["address"]).way, row) for row in open_ones if row["address"]][:1]
    six = [(range_of(row, row["address6"]).way, row) for row in open_ones if row["address6"]][:1]
    found: list[tuple[IPv4Address | IPv6Address, Row]] = [*four, *six]
    return tuple(Way(gateway, inside_name(row) if recorded(row["declared"]).routed else "") for gateway, row in found)


@frozen
class Attachment:
    """A container's place on its networks: its namespace, its address on each network, and whom it asks for names."""

    netns: NetworkNamespace
    addresses: dict[str, IPv4Address | IPv6Address]
    """By network: IPv4, or IPv6 on one without it."""
    name_server: IPv4Address | IPv6Address | None = None
    """None: those of the host, as no gateway of its networks can answer."""
    places: tuple[Place, ...] = ()
    ways: tuple[Way, ...] = ()
    """Its ways out; none when all its networks are internal."""

    @property
    def gateway(self) -> IPv4Address | None:
        """Its way out by IPv4."""
        return next((way.gateway for way in self.ways if isinstance(way.gateway, IPv4Address)), None)

    @property
    def bridged(self) -> list[str]:
        """Its networks that a name server of ours answers for."""
        return [network for network, place in zip(self.addresses, self.places, strict=True) if place.bridged]

    @property
    def own(self) -> dict[str, str]:
        """Its own addresses, for its hosts file."""
        six = {f"{place.host_name} IPv6": str(place.address6) for place in self.places if place.address6}
        return {network: str(address) for network, address in self.addresses.items()} | six
