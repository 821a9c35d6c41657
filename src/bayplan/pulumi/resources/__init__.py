"""The resources of the package: how each is planned, made, looked at and removed. Plain values, no protobuf."""

from __future__ import annotations

import functools

from bayplan.pulumi.resources import told
from bayplan.pulumi.resources.base import Resource
from bayplan.pulumi.resources.container import ContainerResource
from bayplan.pulumi.resources.single import Single
from bayplan.pulumi.shapes import shapes


@functools.cache
def resource_of(token: str) -> Resource | None:
    """The resource of a token; None for one that the package has not."""
    shape = shapes().get(token)
    if shape is None:
        return None
    match token.rpartition(":")[2]:
        case "Container":
            return ContainerResource(shape)
        case "Network":
            return Single(shape, told.network)
        case "Volume":
            return Single(shape, told.volume)
    return None
