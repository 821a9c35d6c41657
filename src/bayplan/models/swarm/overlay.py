"""Networks of a swarm: one network over many hosts."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Annotated

from pydantic import Field, model_validator

from bayplan.models.base import NO_CHANGE, RECREATE, Kind, Resource
from bayplan.models.network import check_range
from bayplan.models.types import ResourceName


class OverlayNetwork(Resource):
    """A VXLAN over the nodes of a swarm. None of it can be changed later, its labels neither."""

    name: ResourceName = Field(description="Name in the swarm.")
    attachable: Annotated[bool, RECREATE] = Field(False, description="Containers outside services may join it.")
    encrypted: Annotated[bool, RECREATE] = Field(False, description="What goes between nodes is encrypted (IPsec).")
    internal: Annotated[bool, RECREATE] = Field(False, description="No way out.")
    subnet: Annotated[IPv4Network | None, RECREATE] = Field(
        None, description="Address range in CIDR form; the next free one of the swarm's pool when unset."
    )
    gateway: Annotated[IPv4Address | None, RECREATE] = Field(None, description="The first of the range when unset.")
    ip_range: Annotated[IPv4Network | None, RECREATE] = Field(
        None, description="Part of the subnet from which addresses are given; all of it when unset."
    )
    mtu: Annotated[int | None, RECREATE] = Field(None, ge=576, le=65535, description="Largest packet, bytes.")
    labels: Annotated[dict[str, str], NO_CHANGE] = Field(default_factory=dict, description="Labels when it is made.")
    external: Annotated[bool, NO_CHANGE] = Field(
        False, description="Made by somebody else: must exist; never created, changed or removed."
    )

    @property
    def kind(self) -> Kind:
        """Network."""
        return Kind.NETWORK

    @model_validator(mode="after")
    def _inside_subnet(self) -> OverlayNetwork:
        check_range(self.subnet, self.gateway, self.ip_range)
        return self
