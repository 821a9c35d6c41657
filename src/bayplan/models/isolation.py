"""What a container sees of its host's devices."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from bayplan.models.base import Model
from bayplan.models.types import AbsolutePath

CdiName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*/[A-Za-z][A-Za-z0-9_-]*=[A-Za-z0-9][A-Za-z0-9_.:-]*$"),
]
"""``vendor.com/class=name`` (Container Device Interface specification, "CDI JSON Specification")."""


class Device(Model):
    """A device of the host, or every device of a directory, in the container."""

    source: AbsolutePath = Field(description="Path on the host.")
    target: AbsolutePath = Field(description="Path in the container.")
    permissions: str = Field("rwm", pattern=r"^[rwm]{1,3}$", description="Read, write, make: any of r, w and m.")

    def __str__(self) -> str:
        return f"{self.source}:{self.target}:{self.permissions}"
