"""The resources of the package: how each is planned, made, looked at and removed. Plain values, no protobuf."""

from __future__ import annotations

import functools
from collections.abc import Callable

from bayplan.pulumi.package import token
from bayplan.pulumi.resources import told
from bayplan.pulumi.resources.base import Resource
from bayplan.pulumi.resources.container import ContainerResource
from bayplan.pulumi.resources.image import ImageResource
from bayplan.pulumi.resources.kept import KeptResource
from bayplan.pulumi.resources.pushed import PushedResource
from bayplan.pulumi.resources.single import Single
from bayplan.pulumi.resources.stack import StackResource
from bayplan.pulumi.shapes import Shape, shapes

_MADE: dict[str, Callable[[Shape], Resource]] = {
    token("Image"): ImageResource,
    token("Container"): ContainerResource,
    token("Network"): lambda shape: Single(shape, told.network),
    token("Volume"): lambda shape: Single(shape, told.volume),
    token("Secret"): KeptResource,
    token("Config"): KeptResource,
    token("Stack"): StackResource,
    token("RegistryImage"): PushedResource,
}


@functools.cache
def resource_of(name: str) -> Resource | None:
    """The resource of a token; None for one that the package has not."""
    return _MADE[name](shapes()[name]) if name in _MADE else None
