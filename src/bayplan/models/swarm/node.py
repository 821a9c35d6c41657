"""Nodes of a swarm: the hosts over which it spreads tasks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bayplan.models.base import IN_PLACE, NO_CHANGE, Kind, Resource
from bayplan.models.types import HostName


class SwarmNode(Resource):
    """A host of the swarm. The first declared manager makes the swarm where there is none; the others join it."""

    name: HostName = Field(description="Name by which the swarm lists it: the host's own.")
    address: Annotated[str | None, NO_CHANGE] = Field(
        None, description="Where its engine answers (ssh://, tcp://, unix://); to join and to leave it must be known."
    )
    advertise: Annotated[str | None, NO_CHANGE] = Field(
        None, description="Address or link by which other nodes reach it; the engine's choice when unset."
    )
    role: Annotated[Literal["worker", "manager"], IN_PLACE] = Field("worker", description="manager has a vote.")
    availability: Annotated[Literal["active", "pause", "drain"], IN_PLACE] = Field(
        "active", description="pause: no new tasks; drain: its tasks move elsewhere."
    )
    labels: Annotated[dict[str, str], IN_PLACE] = Field(
        default_factory=dict, description="Labels that placement can ask for (node.labels)."
    )

    @property
    def kind(self) -> Kind:
        """Node."""
        return Kind.NODE
