"""Networks: a bridge with addresses, shared by containers."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bayplan.models.base import IN_PLACE, NO_CHANGE, RECREATE, Kind, Model, Resource
from bayplan.models.types import HostName, ResourceName


class Network(Resource):
    """A network on one host."""

    name: ResourceName = Field(description="Name on the host.")
    driver: Annotated[Literal["bridge"], RECREATE] = Field("bridge", description="Kind of network.")
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

    @model_validator(mode="after")
    def _inside_subnet(self) -> Network:
        six = self.ipv6_subnet or self.ipv6_gateway or self.ipv6_range
        if not self.enable_ipv6 and six:
            raise ValueError(f"{six} is IPv6, which is off: set enable_ipv6 to true")
        _check_range(self.subnet, self.gateway, self.ip_range)
        _check_range(self.ipv6_subnet, self.ipv6_gateway, self.ipv6_range)
        for name, address in self.aux_addresses.items():
            subnet = self.subnet if address.version == 4 else self.ipv6_subnet
            if subnet is None:
                raise ValueError(f"gateway, ip_range and aux_addresses need a subnet: {name} {address} has none")
            if address not in subnet:
                raise ValueError(f"aux_addresses: {name} {address} is not in subnet {subnet}")
        return self


def _check_range(
    subnet: IPv4Network | IPv6Network | None,
    gateway: IPv4Address | IPv6Address | None,
    part: IPv4Network | IPv6Network | None,
) -> None:
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
