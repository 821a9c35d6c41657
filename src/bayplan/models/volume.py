"""Volumes: data that outlives containers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from bayplan.models.base import IN_PLACE, NO_CHANGE, RECREATE, Kind, Resource
from bayplan.models.types import ResourceName


class Volume(Resource):
    """A named directory kept for containers. Never removed to satisfy a change."""

    name: ResourceName = Field(description="Name on the host.")
    driver: Annotated[Literal["local"], RECREATE] = Field("local", description="Who keeps the data.")
    driver_opts: Annotated[dict[str, str], RECREATE] = Field(
        default_factory=dict, description="A mount instead of a directory: type, o and device, as mount(8) has them."
    )
    labels: Annotated[dict[str, str], IN_PLACE] = Field(default_factory=dict, description="Labels of the volume.")
    external: Annotated[bool, NO_CHANGE] = Field(
        False, description="Made by somebody else: must exist; never created, changed or removed."
    )

    @field_validator("driver_opts")
    @classmethod
    def _mountable(cls, value: dict[str, str]) -> dict[str, str]:
        unknown = sorted(value.keys() - {"type", "o", "device"})
        if unknown:
            raise ValueError(f"driver option {unknown[0]} is not known: there are type, o and device")
        if value and not value.get("device"):
            raise ValueError("driver options need a device")
        words = value.get("o", "").split(",")
        if any(word.partition("=")[0] in ("password", "pass", "passwd") for word in words):
            raise ValueError("a password in `o` would be seen by all: name a file with credentials=")
        if {"bind", "rbind"} & set(words) and not value["device"].startswith("/"):
            raise ValueError(f"device {value['device']} of a bind is no absolute path")
        return value

    @property
    def kind(self) -> Kind:
        """Volume."""
        return Kind.VOLUME
