"""The package `bayplan`: its resources and functions. tools/pulumi_schema.py writes schema.json from it.

An input of a resource is a field of the engine's model, but for those left out, or a field of ``given``, which come
first where both have a name. Outputs are the inputs, and what ``known`` adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo

from bayplan.models import RESOURCE_MODELS, Build, FileGrant, ImageMount, Kind, VolumeMount
from bayplan.models.base import Model
from bayplan.pulumi import given, known, questions
from bayplan.values import frozen

NAME = "bayplan"
_OF_A_STACK = frozenset({"service", "depends_on", "update_config"})
NOT_DECLARED: Mapping[type[Model], frozenset[str]] = {
    Build: frozenset({"commits", "bases", "inputs"}),
    ImageMount: frozenset({"digest"}),
    VolumeMount: frozenset({"of_image"}),
}
"""Fields of values that the engine fills in."""
INSTEAD: Mapping[type[Model], type[Model]] = {FileGrant: given.Grant}
"""Values that are declared in another form."""


@frozen
class Resource:
    """One type of resource. ``model`` is None where the engine has none: then ``given`` is all it takes."""

    token: str
    text: str
    given: type[Model]
    known: type[Model]
    model: type[Model] | None = None
    left_out: frozenset[str] = frozenset()

    @property
    def inputs(self) -> dict[str, FieldInfo]:
        """Its inputs by the names of fields."""
        of_model = self.model.model_fields if self.model else {}
        kept = {name: info for name, info in of_model.items() if name not in self.left_out}
        return {**kept, **self.given.model_fields}

    @property
    def outputs(self) -> dict[str, FieldInfo]:
        """What the host adds to them."""
        return dict(self.known.model_fields)


@frozen
class Function:
    """One function: its arguments and its answer."""

    token: str
    asked: type[Model]
    found: type[Model]


def token(name: str) -> str:
    """The token of a resource or type."""
    return f"{NAME}:index:{name}"


RESOURCES: Mapping[str, Resource] = {
    item.token: item
    for item in (
        Resource(
            token("Image"),
            "An image that is on the host: pulled from a registry, or built from a Dockerfile.",
            given.OfImage,
            known.OfImage,
            RESOURCE_MODELS[Kind.IMAGE],
            frozenset({"pin"}),
        ),
        Resource(
            token("Container"),
            "A container. What is unset is the image's value or the engine's default.",
            given.OfContainer,
            known.OfContainer,
            RESOURCE_MODELS[Kind.CONTAINER],
            _OF_A_STACK,
        ),
        Resource(
            token("Network"),
            "A network on one host, shared by containers.",
            given.OfNetwork,
            known.OfNetwork,
            RESOURCE_MODELS[Kind.NETWORK],
            frozenset({"external"}),
        ),
        Resource(
            token("Volume"),
            "A named directory kept for containers. Deleting the resource removes its data: see retainOnDelete.",
            given.OfVolume,
            known.OfVolume,
            RESOURCE_MODELS[Kind.VOLUME],
            frozenset({"external"}),
        ),
        Resource(token("Secret"), "A secret that containers are given as a file.", given.OfSecret, known.OfKept),
        Resource(token("Config"), "A config that containers are given as a file.", given.OfConfig, known.OfKept),
        Resource(
            token("Stack"),
            "A Compose project, by files or by an inline definition: planned and applied as one.",
            given.OfStack,
            known.OfStack,
        ),
        Resource(
            token("RegistryImage"),
            "An image of the host that is pushed to a registry.",
            given.OfRegistryImage,
            known.OfRegistryImage,
        ),
    )
}
FUNCTIONS: Mapping[str, Function] = {
    item.token: item
    for item in (
        Function(token("getImageDigest"), questions.GetImageDigest, questions.ImageDigest),
        Function(token("getContainer"), questions.GetContainer, questions.FoundContainer),
        Function(token("getNetwork"), questions.GetNetwork, questions.FoundNetwork),
        Function(token("getPlan"), questions.GetPlan, questions.FoundPlan),
        Function(token("getLogs"), questions.GetLogs, questions.FoundLogs),
    )
}


def declared(model: Any) -> dict[str, FieldInfo]:
    """The fields of a value that may be declared."""
    return {name: info for name, info in model.model_fields.items() if name not in NOT_DECLARED.get(model, ())}
