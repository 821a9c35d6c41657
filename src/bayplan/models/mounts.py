"""Mounts: what appears in a container's file tree besides its image."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from bayplan.models.base import Model
from bayplan.models.types import AbsolutePath, ByteSize, ResourceName


class VolumeMount(Model):
    """A named volume; an empty one is filled with what the image has at the target, unless ``nocopy``."""

    type: Literal["volume"] = "volume"
    source: ResourceName = Field(description="Name of the volume.")
    target: AbsolutePath = Field(description="Path in the container.")
    read_only: bool = Field(False, description="Mount read-only.")
    nocopy: bool = Field(False, description="Do not fill an empty volume from the image.")
    subpath: Annotated[str, StringConstraints(pattern=r"^[^/\x00].*$")] | None = Field(
        None, description="Directory or file in the volume to mount instead of all of it; it must be there."
    )
    of_image: bool = Field(False, description="Asked for by the image (its VOLUME); set by the core, not declared.")


class BindMount(Model):
    """A file or directory of the host."""

    type: Literal["bind"] = "bind"
    source: AbsolutePath = Field(description="Path on the host.")
    target: AbsolutePath = Field(description="Path in the container.")
    read_only: bool = Field(False, description="Mount read-only.")
    create_host_path: bool = Field(
        False, description="Make a missing source directory; one that is missing is refused otherwise."
    )
    propagation: Literal["private", "rprivate", "shared", "rshared", "slave", "rslave"] = Field(
        "rprivate", description="Whether mounts made later pass between host and container (mount_namespaces(7))."
    )
    recursive: Literal["enabled", "disabled", "writable", "readonly"] = Field(
        "enabled",
        description="What of mounts below the source: enabled and writable show them as they are, readonly makes them"
        " read-only too, disabled leaves them out.",
    )


class TmpfsMount(Model):
    """Memory-backed scratch space."""

    type: Literal["tmpfs"] = "tmpfs"
    target: AbsolutePath = Field(description="Path in the container.")
    read_only: bool = Field(False, description="Mount read-only.")
    noexec: bool = Field(False, description="No program in it can be run.")
    uid: int | None = Field(None, ge=0, description="Owner of its root; root when unset.")
    gid: int | None = Field(None, ge=0, description="Group of its root; root when unset.")
    size: ByteSize | None = Field(None, description="Most bytes it may hold; half of memory when unset.")
    mode: int | None = Field(None, ge=0, le=0o7777, description="Permission bits of its root; 1777 when unset.")


class ImageMount(Model):
    """The files of another image, read-only."""

    type: Literal["image"] = "image"
    source: str = Field(description="Reference of the image.")
    target: AbsolutePath = Field(description="Path in the container.")
    read_only: Literal[True] = Field(True, description="Images are never written to.")
    subpath: Annotated[str, StringConstraints(pattern=r"^[^/\x00].*$")] | None = Field(
        None, description="Directory or file in the image to mount instead of all of it; it must be there."
    )
    digest: str = Field("", description="Manifest that the reference stood for; set when the plan is made.")


Mount = Annotated[VolumeMount | BindMount | TmpfsMount | ImageMount, Field(discriminator="type")]
