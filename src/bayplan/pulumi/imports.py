"""What a host tells of a resource as inputs of a program: without what is declared in another way, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.pulumi import names, package
from bayplan.pulumi.shapes import Shape

_OF_IMAGE = "of_image"
"""Field of a mount that no program declares: it comes and goes with the image."""


def inputs(shape: Shape, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Properties that would make what is there. ``fields`` are those of the model that are not as by default."""
    own = {name: value for name, value in fields.items() if name not in shape.of.left_out}
    found: dict[str, Any] = names.properties(shape.fields, _declared(shape.fields, own))
    return found


def _declared(of: Any, values: Any) -> Any:
    if isinstance(values, Mapping):
        if not names.members(of):
            return {key: _declared(names.items(of), item) for key, item in values.items()}
        fields = {name: info for model in names.models(of) for name, info in _fields(model).items()}
        return {name: _declared(fields[name].annotation, item) for name, item in values.items() if name in fields}
    if isinstance(values, list):
        inner = names.items(of)
        return [_declared(inner, item) for item in values if not (isinstance(item, Mapping) and item.get(_OF_IMAGE))]
    return values


def _fields(model: Any) -> Mapping[str, Any]:
    """The fields of a value that a program declares."""
    return package.declared(package.INSTEAD.get(model, model))
