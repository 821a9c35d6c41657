"""Volumes: data that outlives containers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bayplan.models.base import IN_PLACE, NO_CHANGE, RECREATE, Kind, Resource
from bayplan.models.types import ResourceName


class Volume(Resource):
    """A named directory kept for containers. Never removed to satisfy a change."""

    name: ResourceName = Field(description="Name on the host.")
    driver: Annotated[Literal["local"], RECREATE] = Field("local", description="Who keeps the data.")
    labels: Annotated[dict[str, str], IN_PLACE] = Field(default_factory=dict, description="Labels of the volume.")
    external: Annotated[bool, NO_CHANGE] = Field(
        False, description="Made by somebody else: must exist; never created, changed or removed."
    )

    @property
    def kind(self) -> Kind:
        """Volume."""
        return Kind.VOLUME
