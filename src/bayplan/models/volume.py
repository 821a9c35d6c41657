"""Volumes: data that outlives containers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from bayplan.models.base import IN_PLACE, NO_CHANGE, RECREATE, Kind, Resource
from bayplan.models.types import ByteSize, ResourceName


class Volume(Resource):
    """A named directory kept for containers. Never removed to satisfy a change."""

    name: ResourceName = Field(description="Name on the host.")
    driver: Annotated[Literal["local"], RECREATE] = Field("local", description="Who keeps the data.")
    driver_opts: Annotated[dict[str, str], RECREATE] = Field(
        default_factory=dict,
        description="A mount instead of a directory: type, o and device, as mount(8) has them; or size: most bytes.",
    )
    labels: Annotated[dict[str, str], IN_PLACE] = Field(default_factory=dict, description="Labels of the volume.")
    external: Annotated[bool, NO_CHANGE] = Field(
        False, description="Made by somebody else: must exist; never created, changed or removed."
    )

    @field_validator("driver_opts")
    @classmethod
    def _mountable(cls, value: dict[str, str]) -> dict[str, str]:
        unknown = sorted(value.keys() - {"type", "o", "device", "size"})
        if unknown:
            raise ValueError(f"driver option {unknown[0]} is not known: there are type, o, device and size")
        if _size(value) is not None:
            return value
        if value and not value.get("device"):
            raise ValueError("driver options need a device")
        words = value.get("o", "").split(",")
        if any(word.partition("=")[0] in ("password", "pass", "passwd") for word in words):
            raise ValueError("a password in `o` would be seen by all: name a file with credentials=")
        if {"bind", "rbind"} & set(words) and not value["device"].startswith("/"):
            raise ValueError(f"device {value['device']} of a bind is no absolute path")
        return value

    @property
    def size_bytes(self) -> ByteSize | None:
        """The most that it may hold; None for any amount, and for a mount, whose options say it."""
        return _size(self.driver_opts)

    @property
    def is_mount(self) -> bool:
        """Whether it is something mounted, not a directory of the core's."""
        return bool(self.driver_opts.get("device"))

    @property
    def kind(self) -> Kind:
        """Volume."""
        return Kind.VOLUME


def _size(options: dict[str, str]) -> ByteSize | None:
    """``size: 10m``, or ``o: size=10m`` without a device, as Podman has it. Raises ValueError."""
    given = options.get("size")
    if given is None and not options.get("device") and options.get("o", "").startswith("size="):
        given = options["o"].removeprefix("size=")
        if set(options) != {"o"}:
            raise ValueError("o: size= stands alone, or needs a device")
    elif given is not None and set(options) != {"size"}:
        raise ValueError("size is for volumes that are directories; a mount has it in o")
    if given is None:
        return None
    size = ByteSize.parse(given)
    if size < 4096:
        raise ValueError(f"size {given!r} is less than a page")
    return size
