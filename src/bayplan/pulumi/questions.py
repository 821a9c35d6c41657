"""The functions of the package: what they are asked, and what they answer."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from bayplan.models import PullPolicy
from bayplan.models.base import Model
from bayplan.models.types import ProjectName
from bayplan.pulumi.given import Declaration
from bayplan.pulumi.known import Live


class GetImageDigest(Model):
    """Ask what an image's name stands for, on the host or in its registry. Nothing is pulled."""

    name: str = Field(description="Reference of the image.")
    platform: str | None = Field(None, description="os/architecture[/variant]; the host's when unset.")
    pull: PullPolicy = Field(PullPolicy.ALWAYS, description="always asks the registry; missing only when it must.")


class ImageDigest(Model):
    """What a name stands for."""

    name: str = Field(description="The name that was asked for.")
    digest: str = Field(description="Digest of the platform's manifest.")
    reference: str = Field(description="Name and digest.")
    present: bool = Field(description="Whether the host has it.")
    size_bytes: int = Field(description="What a pull would transfer, 0 when that is not known.")


class GetContainer(Model):
    """Look at a container of the host, whoever made it."""

    name: str = Field(description="Its name.")


class FoundContainer(Live):
    """A container of the host."""

    name: str = Field(description="Its name.")
    image: str = Field(description="Reference of its image.")
    labels: dict[str, str] = Field(description="Its labels.")
    project: str = Field(description="Project that it belongs to; may be empty.")
    service: str = Field(description="Service of the project; may be empty.")
    managed: bool = Field(description="Whether Bayplan made it.")


class GetNetwork(Model):
    """Look at a network of the host, whoever made it."""

    name: str = Field(description="Its name.")


class FoundNetwork(Model):
    """A network of the host."""

    name: str = Field(description="Its name.")
    driver: str = Field(description="bridge, macvlan or ipvlan.")
    internal: bool = Field(description="Whether it has no way out.")
    subnets: tuple[str, ...] = Field(description="Address ranges.")
    gateways: tuple[str, ...] = Field(description="Addresses of the gateways.")
    labels: dict[str, str] = Field(description="Its labels.")
    containers: tuple[str, ...] = Field(description="Names of the containers on it.")
    managed: bool = Field(description="Whether Bayplan made it.")


class GetPlan(Declaration):
    """The plan that an apply of a stack would carry out now. Nothing is changed."""

    project: ProjectName | None = Field(None, description="Name of the project; the declaration's own when unset.")


class PlannedField(Model):
    """A field that differs."""

    path: str = Field(description="Its place in the model, such as resources.memory.")
    before: Any = Field(None, description="As it is; masked where it may be secret.")
    after: Any = Field(None, description="As it will be; masked where it may be secret.")
    how: str = Field(description="none, in-place, restart or re-create.")
    why: str = Field(description="The reason.")


class PlannedStep(Model):
    """One step of a plan."""

    resource: str = Field(description="Kind and name.")
    action: str = Field(description="What is done with it.")
    why: str = Field(description="The reason.")
    fields: tuple[PlannedField, ...] = Field(description="The fields that differ.")
    risks: tuple[str, ...] = Field(description="Downtime, data, exposure, as sentences.")


class FoundPlan(Model):
    """A plan."""

    changed: bool = Field(description="Whether there is anything to do.")
    steps: tuple[PlannedStep, ...] = Field(description="What would be done, in order.")
    text: str = Field(description="As `bayplan plan` prints it.")
    document: str = Field(description="As JSON (docs/schemas/plan.json).")


class GetLogs(Model):
    """What a container wrote, oldest first."""

    container: str = Field(description="Its name.")
    tail: int | None = Field(None, ge=0, description="Only so many lines from the end.")
    since: str | None = Field(None, description="Only from this time on: RFC 3339, or a duration back from now.")
    until: str | None = Field(None, description="Only up to this time, written as since.")


class Line(Model):
    """A line that a container wrote."""

    time: str = Field(description="When, RFC 3339.")
    stream: str = Field(description="stdout or stderr.")
    text: str = Field(description="The line without its end.")


class FoundLogs(Model):
    """Lines that a container wrote."""

    lines: tuple[Line, ...] = Field(description="Each with its time and stream.")
    text: str = Field(description="All in one.")
