"""Images: pulled from a registry or built from a Dockerfile."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, SecretBytes, field_validator

from bayplan.models.base import NO_CHANGE, RECREATE, SENSITIVE, Kind, Model, Resource
from bayplan.models.limits import Ulimit
from bayplan.models.reference import ImageReference
from bayplan.models.types import ByteSize, Digest, Duration


class PullPolicy(StrEnum):
    """When to ask the registry for an image (Compose specification, "pull_policy")."""

    MISSING = "missing"
    ALWAYS = "always"
    NEVER = "never"
    BUILD = "build"


class BuildSecret(Model):
    """A secret that commands of a build may mount by its ``id``."""

    id: str = Field(min_length=1, description="Name by which RUN --mount=type=secret asks for it.")
    content: Annotated[SecretBytes | None, SENSITIVE] = Field(
        None, exclude=True, repr=False, description="What it holds, never recorded; unset when its source is not there."
    )


class Entitlement(StrEnum):
    """What commands of a build may do only when it is declared (Dockerfile reference, "RUN")."""

    INSECURE = "security.insecure"
    HOST_NETWORK = "network.host"


class Pin(Model):
    """What a name is held to: the digests that a lock file keeps for it."""

    digest: Digest = Field(description="What the name stood for: an index of several platforms, or one manifest.")
    platforms: dict[str, Digest] = Field(
        default_factory=dict, description="os/architecture[/variant] to the digest of that platform's manifest."
    )
    ids: dict[str, Digest] = Field(
        default_factory=dict,
        description="The same to the digest of its configuration, by which an engine knows what no registry gave it.",
    )


class Build(Model):
    """How to build an image: what ``docker build`` takes."""

    context: str = Field(
        description="Directory with the files the build may use, absolute path; or a Git repository, URL#REF:DIRECTORY."
    )
    dockerfile: str = Field("Dockerfile", description="Path of the Dockerfile, relative to the context.")
    dockerfile_inline: str | None = Field(None, description="Text of the Dockerfile, instead of a file.")
    args: dict[str, str] = Field(default_factory=dict, description="Values for ARG instructions.")
    target: str | None = Field(None, description="Build stage to stop at; the last one when unset.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels added to the image's configuration.")
    secrets: tuple[BuildSecret, ...] = Field((), description="Secrets for RUN --mount=type=secret.")
    ssh: dict[str, str] = Field(
        default_factory=dict, description="Id to an agent's socket, absolute path, for RUN --mount=type=ssh."
    )
    entitlements: tuple[Entitlement, ...] = Field(
        (), description="What RUN --security=insecure and RUN --network=host may be used for: nothing when unset."
    )
    platforms: tuple[str, ...] = Field(
        (), description="os/architecture[/variant] of each image under one name; that of the image alone when unset."
    )
    commits: dict[str, str] = Field(
        default_factory=dict,
        description="Commits of Git repositories by their addresses, instead of asking for them; a plan fills them in.",
    )
    bases: dict[str, Pin] = Field(
        default_factory=dict,
        description="Images it begins with or copies from, by their full names, held to digests; a lock fills them in.",
    )
    inputs: str = Field("", description="Digest of its files as they were locked; a lock fills it in.")
    tags: tuple[str, ...] = Field((), description="Further names of the image.")
    network: Literal["default", "none", "host"] = Field(
        "default", description="Network of commands that name none: one made for the build, none, or the host's."
    )
    extra_hosts: dict[str, str] = Field(
        default_factory=dict, description="Further lines of /etc/hosts for commands: name to address, or several."
    )
    shm_size: ByteSize | None = Field(None, description="Size of /dev/shm of commands, bytes; 64 MiB if unset.")
    ulimits: dict[str, Ulimit] = Field(default_factory=dict, description="Limits of getrlimit(2) of commands.")
    no_cache: bool = Field(False, description="Build every step anew.")
    pull: bool = Field(False, description="Ask the registry for a newer base image first.")

    @field_validator("tags")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if ImageReference.parse(text).digest:
                raise ValueError(f"{text}: a digest cannot be given as a name")
        return value


class Image(Resource):
    """An image that must be present on the host."""

    name: str = Field(description="The image's reference as declared; its identity on the host.")
    pull: Annotated[PullPolicy, NO_CHANGE] = Field(PullPolicy.MISSING, description="When to ask the registry.")
    pull_every: Annotated[Duration | None, NO_CHANGE] = Field(
        None, description="Ask the registry again when its last answer is older than this."
    )
    platform: Annotated[str | None, RECREATE] = Field(
        None, description="os/architecture[/variant] to take from a multi-platform image; the host's when unset."
    )
    build: Annotated[Build | None, RECREATE] = Field(None, description="Build it from a Dockerfile instead of pulling.")
    pin: Annotated[Pin | None, NO_CHANGE] = Field(
        None, description="Take it at these digests, whatever its name means now; a lock fills it in."
    )

    @property
    def kind(self) -> Kind:
        """Image."""
        return Kind.IMAGE

    @property
    def reference(self) -> ImageReference:
        """The parsed name."""
        return ImageReference.parse(self.name)
