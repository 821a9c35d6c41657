"""Networks: a bridge with addresses, shared by containers."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
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
    aux_addresses: Annotated[dict[str, IPv4Address], RECREATE] = Field(
        default_factory=dict, description="Addresses of the subnet that others have, by name; never given."
    )
    mtu: Annotated[int | None, RECREATE] = Field(None, ge=576, le=65535, description="Largest packet, bytes.")
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
        if self.subnet is None:
            if self.gateway or self.ip_range or self.aux_addresses:
                raise ValueError("gateway, ip_range and aux_addresses need a subnet")
            return self
        if self.subnet.prefixlen > 30:
            raise ValueError(f"subnet {self.subnet} has no room for a gateway and a container")
        if self.gateway and self.gateway not in self.subnet:
            raise ValueError(f"gateway {self.gateway} is not in subnet {self.subnet}")
        if self.ip_range and not self.ip_range.subnet_of(self.subnet):
            raise ValueError(f"ip_range {self.ip_range} is not in subnet {self.subnet}")
        for name, address in self.aux_addresses.items():
            if address not in self.subnet:
                raise ValueError(f"aux_addresses: {name} {address} is not in subnet {self.subnet}")
        return self


class Endpoint(Model):
    """A container's place on a network."""

    network: ResourceName = Field(description="Name of the network.")
    aliases: tuple[HostName, ...] = Field(
        (), description="Further names by which peers on this network find the container."
    )
    ipv4_address: IPv4Address | None = Field(None, description="Fixed address; the next free one when unset.")
    mac_address: str | None = Field(
        None, pattern=r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$", description="Fixed MAC address, lower case with colons."
    )
