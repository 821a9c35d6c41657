"""What is in a bundle: a plain tar whose first member says what the others are.

bundle.json     the resolved declaration without secrets, its fingerprint, and the digest of every other member
bayplan.lock    the lock that it was made by
configs/SHA256  what configs hold
files/PATH      files and read-only directories of the declaration's own directory that containers mount
images.tar      the images, as one OCI image layout
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from bayplan import __version__
from bayplan.models import Digest, Model, Pin, Stack

FORMAT = 1
INDEX, LOCK, IMAGES = "bundle.json", "bayplan.lock", "images.tar"
HOME = "/.bayplan-bundle"
"""Stands for the declaration's own directory in a bundle, wherever that was."""
_MAX_PATH = 4096


def _inside(name: str) -> str:
    parts = name.split("/")
    if len(name) > _MAX_PATH or "\0" in name or {"", ".", ".."} & set(parts):
        raise ValueError("a name that leads elsewhere")
    return name


InsidePath = Annotated[str, AfterValidator(_inside)]
"""A relative path without detours."""


class Member(Model):
    """One file of the bundle. A directory has no digest."""

    name: InsidePath
    size: int = Field(0, ge=0)
    digest: Digest | None = None
    mode: int = Field(0o644, ge=0, le=0o777)


class Bundle(Model):
    """``bundle.json``. ``withheld``: container to variables whose values are in no bundle.

    ``contents``: digests of configs by container and config. ``images`` has every image by its full name: digests of
    the lock, or of what was built, and the ids by which engines know what they loaded.
    """

    format: int = FORMAT
    made_by: str = __version__
    fingerprint: Digest
    platform: str
    stack: Stack
    withheld: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    contents: dict[str, str] = Field(default_factory=dict)
    images: dict[str, Pin]
    members: tuple[Member, ...]
