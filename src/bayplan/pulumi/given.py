"""What resources of the package take beside the fields of the engine's models.

A name that is not given is made of the resource's name in the program and a random part, so that a successor can be
made before what it replaces is removed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from bayplan.models import Duration, PullPolicy
from bayplan.models.base import IN_PLACE, NO_CHANGE, RECREATE, SENSITIVE, Model
from bayplan.models.types import AbsolutePath, ProjectName, ResourceName

_AUTOMATIC = "one is made of the resource's name when unset"


class OfContainer(Model):
    """Of a Container."""

    name: Annotated[ResourceName | None, RECREATE] = Field(None, description=f"Name on the host; {_AUTOMATIC}.")
    pull: Annotated[PullPolicy, NO_CHANGE] = Field(
        PullPolicy.MISSING, description="When to ask the registry for the image."
    )
    platform: Annotated[str | None, RECREATE] = Field(
        None, description="os/architecture[/variant] of the image, where it has several."
    )
    running: Annotated[bool, IN_PLACE] = Field(True, description="Whether it runs, or is only there.")
    wait: Annotated[Literal["running", "healthy", "completed"], NO_CHANGE] = Field(
        "running", description="What it must have reached before what depends on it goes on; completed: exit code 0."
    )
    wait_timeout: Annotated[Duration, NO_CHANGE] = Field(
        Duration(minutes=5), description="Longest wait for it; what was made stays, and the update fails."
    )


class OfImage(Model):
    """Of an Image."""

    keep_locally: Annotated[bool, NO_CHANGE] = Field(
        False, description="Leave it on the host when the resource is deleted; one in use stays in any case."
    )


class OfNetwork(Model):
    """Of a Network."""

    name: Annotated[ResourceName | None, RECREATE] = Field(None, description=f"Name on the host; {_AUTOMATIC}.")


class OfVolume(Model):
    """Of a Volume."""

    name: Annotated[ResourceName | None, RECREATE] = Field(None, description=f"Name on the host; {_AUTOMATIC}.")


class OfSecret(Model):
    """Of a Secret: a file that only containers it is given to can read."""

    name: Annotated[ResourceName | None, RECREATE] = Field(None, description=f"Its name; {_AUTOMATIC}.")
    content: Annotated[str | None, IN_PLACE, SENSITIVE] = Field(None, description="What it holds, as text.")
    content_base64: Annotated[str | None, IN_PLACE, SENSITIVE] = Field(
        None, description="What it holds, as base64 of bytes, instead of content."
    )
    labels: Annotated[dict[str, str], IN_PLACE] = Field(
        default_factory=dict, description="Labels; kept by a swarm alone."
    )


class OfConfig(Model):
    """Of a Config: a file given to containers."""

    name: Annotated[ResourceName | None, RECREATE] = Field(None, description=f"Its name; {_AUTOMATIC}.")
    content: Annotated[str | None, IN_PLACE] = Field(None, description="What it holds, as text.")
    content_base64: Annotated[str | None, IN_PLACE] = Field(
        None, description="What it holds, as base64 of bytes, instead of content."
    )
    labels: Annotated[dict[str, str], IN_PLACE] = Field(
        default_factory=dict, description="Labels; kept by a swarm alone."
    )


class Declaration(Model):
    """A project, by the content of a Compose file or by files."""

    project: Annotated[ProjectName | None, RECREATE] = Field(
        None, description=f"Name of the project, over the declaration's own; {_AUTOMATIC}."
    )
    definition: Annotated[dict[str, Any] | None, IN_PLACE] = Field(
        None, description="The content of a Compose file, as values of the program."
    )
    files: Annotated[tuple[str, ...], IN_PLACE] = Field(
        (), description="Compose files, relative to directory, later ones over earlier ones; instead of definition."
    )
    directory: Annotated[str | None, IN_PLACE] = Field(
        None, description="Directory of the files, and of the paths in them, where the program runs; its own if unset."
    )
    environment: Annotated[dict[str, str], IN_PLACE, SENSITIVE] = Field(
        default_factory=dict, description="Variables for interpolation, over those of the program's environment."
    )
    profiles: Annotated[tuple[str, ...], IN_PLACE] = Field((), description="Profiles to switch on.")
    scale: Annotated[dict[str, int], IN_PLACE] = Field(
        default_factory=dict, description="Replicas by service, over what the declaration says."
    )
    locked: Annotated[bool, NO_CHANGE] = Field(
        False, description="Refuse images and builds that are not in bayplan.lock beside the files as they are there."
    )


class OfStack(Declaration):
    """Of a Stack."""

    on_failure: Annotated[Literal["rollback", "keep"] | None, NO_CHANGE] = Field(
        None,
        description="What becomes of it when a step fails: all of it goes back to the generation before, if there is"
        " one, or what was done stays. The host's setting when unset, rollback by default.",
    )
    wait: Annotated[bool, NO_CHANGE] = Field(
        True, description="End when each container runs, and is healthy where it has a health check."
    )
    wait_timeout: Annotated[Duration, NO_CHANGE] = Field(Duration(minutes=5), description="Longest wait for them.")
    remove_volumes: Annotated[bool, NO_CHANGE] = Field(
        False, description="Remove the project's volumes, and their data, when the resource is deleted."
    )
    remove_images: Annotated[bool, NO_CHANGE] = Field(
        False, description="Remove the images that the declaration names when the resource is deleted."
    )


class OfRegistryImage(Model):
    """Of a RegistryImage."""

    name: Annotated[str, RECREATE] = Field(
        description="Reference in the registry, such as registry.example/team/web:1."
    )
    source: Annotated[str | None, IN_PLACE] = Field(
        None,
        description="Image on the host that is pushed; the name when unset. The reference of an Image tells changes.",
    )
    keep_remotely: Annotated[bool, NO_CHANGE] = Field(
        True,
        description="Leave it in the registry when the resource is deleted; else its manifest is deleted there, and"
        " with it every tag of the repository that means the same. A registry may refuse it.",
    )


class Registry(Model):
    """Credentials for one registry."""

    registry: str = Field(description="host[:port] of the registry; docker.io for Docker Hub.")
    username: str = Field(description="User.")
    password: Annotated[str, SENSITIVE] = Field(description="Password or token.")


class Grant(Model):
    """A secret or config given to a container as a file."""

    source: ResourceName = Field(description="Name of the secret or config.")
    target: AbsolutePath | None = Field(
        None, description="Path in the container; /run/secrets/NAME or /NAME of a config when unset."
    )
    uid: int = Field(0, ge=0, description="Owner inside the container.")
    gid: int = Field(0, ge=0, description="Group inside the container.")
    mode: int = Field(0o444, ge=0, le=0o7777, description="Permission bits.")
