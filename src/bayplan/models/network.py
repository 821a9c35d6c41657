"""Networks: a bridge with addresses, shared by containers."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from bayplan.models.base import IN_PLACE, NO_CHANGE, RECREATE, Kind, Model, Resource
from bayplan.models.types import HostName, ResourceName

_LINK_SYSCTL = re.compile(r"net\.(ipv4|ipv6)\.(conf|neigh)\.IFNAME\.[a-z0-9_]+")
LinkName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,14}$")]
"""A network link's name: at most 15 characters (IFNAMSIZ)."""
MODES: dict[str, tuple[str, ...]] = {
    "bridge": (),
    "macvlan": ("bridge", "private", "vepa", "passthru"),
    "ipvlan": ("l2", "l3", "l3s"),
}
"""Modes of each driver, its default first (ip-link(8))."""


class AddressRange(Model):
    """A range of addresses beside the first of its family."""

    subnet: IPv4Network | IPv6Network = Field(description="Address range in CIDR form.")
    gateway: IPv4Address | IPv6Address | None = Field(None, description="The first of the range when unset.")
    ip_range: IPv4Network | IPv6Network | None = Field(None, description="Part from which addresses are given.")

    @property
    def way(self) -> IPv4Address | IPv6Address:
        """Its gateway, declared or not."""
        return self.gateway or self.subnet[1]


class Network(Resource):
    """A network on one host."""

    name: ResourceName = Field(description="Name on the host.")
    driver: Annotated[Literal["bridge", "macvlan", "ipvlan"], RECREATE] = Field(
        "bridge", description="A bridge of the host; or links of containers straight on one of its links."
    )
    parent: Annotated[LinkName | None, RECREATE] = Field(
        None,
        description="The host's link that macvlan and ipvlan use; C(eth0.10) is VLAN 10 on eth0, made if it is absent.",
    )
    mode: Annotated[Literal["bridge", "private", "vepa", "passthru", "l2", "l3", "l3s"] | None, RECREATE] = Field(
        None, description="Mode of macvlan (bridge when unset, private, vepa, passthru) or ipvlan (l2, l3, l3s)."
    )
    bridge_name: Annotated[LinkName | None, RECREATE] = Field(None, description="Name of the bridge; ours when unset.")
    icc: Annotated[bool, RECREATE] = Field(True, description="Containers on the bridge reach each other.")
    masquerade: Annotated[bool, RECREATE] = Field(
        True, description="What leaves the host has the host's address; otherwise others need a route to the range."
    )
    internal: Annotated[bool, RECREATE] = Field(
        False, description="No way out: no gateway route, no masquerade, no upstream names, no published ports."
    )
    subnet: Annotated[IPv4Network | None, RECREATE] = Field(
        None, description="Address range in CIDR form; the next free one of the host's pool when unset."
    )
    gateway: Annotated[IPv4Address | None, RECREATE] = Field(
        None, description="The bridge's own address; the first of the range when unset."
    )
    ip_range: Annotated[IPv4Network | None, RECREATE] = Field(
        None, description="Part of the subnet from which addresses are given; all of it when unset."
    )
    enable_ipv4: Annotated[bool, RECREATE] = Field(True, description="IPv4; without it the network has IPv6 alone.")
    enable_ipv6: Annotated[bool, RECREATE] = Field(False, description="IPv6 beside IPv4; off unless asked for.")
    ipv6_subnet: Annotated[IPv6Network | None, RECREATE] = Field(
        None, description="IPv6 range in CIDR form; the next free /64 of the host's pool when unset."
    )
    ipv6_gateway: Annotated[IPv6Address | None, RECREATE] = Field(
        None, description="The bridge's own IPv6 address; the first of the range when unset."
    )
    ipv6_range: Annotated[IPv6Network | None, RECREATE] = Field(
        None, description="Part of the IPv6 subnet from which addresses are given; all of it when unset."
    )
    further_ranges: Annotated[tuple[AddressRange, ...], RECREATE] = Field(
        (), description="Address ranges beside these; a container gets an address of the first that has one left."
    )
    aux_addresses: Annotated[dict[str, IPv4Address | IPv6Address], RECREATE] = Field(
        default_factory=dict, description="Addresses of the subnets that others have, by name; never given."
    )
    mtu: Annotated[int | None, RECREATE] = Field(None, ge=576, le=65535, description="Largest packet, bytes.")
    source_check: Annotated[bool, RECREATE] = Field(
        True, description="Frames that a container sends under a MAC or IP address that is not its own are dropped."
    )
    labels: Annotated[dict[str, str], IN_PLACE] = Field(default_factory=dict, description="Labels of the network.")
    external: Annotated[bool, NO_CHANGE] = Field(
        False, description="Made by somebody else: must exist; never created, changed or removed."
    )

    @property
    def kind(self) -> Kind:
        """Network."""
        return Kind.NETWORK

    @property
    def bridged(self) -> bool:
        """Whether it is a bridge of the host."""
        return self.driver == "bridge"

    @property
    def forwards(self) -> bool:
        """Whether the host forwards for it."""
        return self.bridged and not self.internal

    @property
    def has_macs(self) -> bool:
        """Whether each container has a MAC address of its own, not that of the parent."""
        return self.driver != "ipvlan" and self.mode != "passthru"

    @property
    def routed(self) -> bool:
        """Whether its containers have no neighbours, and a way out without a gateway."""
        return self.mode in ("l3", "l3s")

    @model_validator(mode="after")
    def _of_the_driver(self) -> Network:
        if self.external:
            return self
        if not self.bridged and self.internal:
            raise ValueError(f"{self.driver} reaches whoever is on its parent's link: an internal network is a bridge")
        if self.bridged:
            if self.parent or self.mode:
                raise ValueError("parent and mode are of macvlan and ipvlan, not of a bridge")
            return self
        if self.parent is None:
            raise ValueError(f"{self.driver} needs a parent, a link of the host (driver_opts: parent)")
        if self.mode is not None and self.mode not in MODES[self.driver]:
            raise ValueError(f"{self.driver} has no mode {self.mode}: {', '.join(MODES[self.driver])}")
        if self.bridge_name or not (self.icc and self.masquerade):
            raise ValueError(f"options of a bridge mean nothing with {self.driver}")
        return self

    @model_validator(mode="after")
    def _inside_subnet(self) -> Network:
        six = self.ipv6_subnet or self.ipv6_gateway or self.ipv6_range
        if not self.enable_ipv6 and six:
            raise ValueError(f"{six} is IPv6, which is off: set enable_ipv6 to true")
        four = self.subnet or self.gateway or self.ip_range
        if not self.enable_ipv4 and four:
            raise ValueError(f"{four} is IPv4, which is off: remove it, or enable_ipv4")
        if not (self.enable_ipv4 or self.enable_ipv6 or self.external):
            raise ValueError("a network has IPv4 or IPv6: without enable_ipv4 set enable_ipv6 to true")
        check_range(self.subnet, self.gateway, self.ip_range)
        check_range(self.ipv6_subnet, self.ipv6_gateway, self.ipv6_range)
        subnets = [one for one in (self.subnet, self.ipv6_subnet) if one]
        for further in self.further_ranges:
            check_range(further.subnet, further.gateway, further.ip_range)
            if further.subnet.version not in [one.version for one in subnets]:
                raise ValueError(f"range {further.subnet} is the first of its family: it is no further one")
            for other in subnets:
                if other.version == further.subnet.version and other.overlaps(further.subnet):
                    raise ValueError(f"subnet {further.subnet} overlaps {other}")
            subnets.append(further.subnet)
        for name, address in self.aux_addresses.items():
            of_family = [one for one in subnets if one.version == address.version]
            if not of_family:
                raise ValueError(f"gateway, ip_range and aux_addresses need a subnet: {name} {address} has none")
            if not any(address in one for one in of_family):
                raise ValueError(f"aux_addresses: {name} {address} is not in subnet {of_family[0]}")
        return self


def check_range(
    subnet: IPv4Network | IPv6Network | None,
    gateway: IPv4Address | IPv6Address | None,
    part: IPv4Network | IPv6Network | None,
) -> None:
    """Raise ValueError for a gateway or a part that is not of the subnet, and for a subnet without room."""
    if subnet is None:
        if gateway or part:
            raise ValueError("gateway, ip_range and aux_addresses need a subnet")
        return
    if subnet.max_prefixlen - subnet.prefixlen < 2:
        raise ValueError(f"subnet {subnet} has no room for a gateway and a container")
    if gateway and gateway not in subnet:
        raise ValueError(f"gateway {gateway} is not in subnet {subnet}")
    if part and not (part[0] in subnet and part[-1] in subnet):
        raise ValueError(f"ip_range {part} is not in subnet {subnet}")


class Endpoint(Model):
    """A container's place on a network."""

    network: ResourceName = Field(description="Name of the network.")
    aliases: tuple[HostName, ...] = Field(
        (), description="Further names by which peers on this network find the container."
    )
    ipv4_address: IPv4Address | None = Field(None, description="Fixed address; the next free one when unset.")
    ipv6_address: IPv6Address | None = Field(
        None, description="Fixed IPv6 address, on a network that has IPv6; one like its IPv4 address when unset."
    )
    mac_address: str | None = Field(
        None, pattern=r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$", description="Fixed MAC address, lower case with colons."
    )
    gw_priority: int = Field(
        0, description="The way out is by the network with the highest one that is not internal; the first of several."
    )
    interface_name: LinkName | None = Field(None, description="Name of the link inside; the next free ethN when unset.")
    link_local_ips: tuple[IPv4Address | IPv6Address, ...] = Field(
        (), description="Further addresses of the link, of 169.254.0.0/16 or fe80::/10."
    )
    sysctls: dict[str, str] = Field(
        default_factory=dict,
        description="Settings of the link, such as C(net.ipv4.conf.IFNAME.log_martians); IFNAME is its name inside.",
    )

    @model_validator(mode="after")
    def _of_the_link(self) -> Endpoint:
        if self.interface_name in ("lo", "all", "default"):
            raise ValueError(f"interface_name {self.interface_name} is the kernel's own")
        for address in self.link_local_ips:
            if not address.is_link_local:
                raise ValueError(f"link_local_ips: {address} is not of 169.254.0.0/16 or fe80::/10")
        for name in self.sysctls:
            if not _LINK_SYSCTL.fullmatch(name):
                raise ValueError(f"sysctl {name} is not of a link: net.ipv4.conf.IFNAME.NAME and the like")
        return self
