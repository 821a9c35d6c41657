"""Models from values, with pydantic's complaints turned into errors at the line of the value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from bayplan.errors import DeclarationError
from bayplan.load.compose.nodes import Node, wrong
from bayplan.models import Model

M = TypeVar("M", bound=Model)


def make(model: type[M], node: Node, values: Mapping[str, Any], names: Mapping[str, str] | None = None) -> M:
    """An instance of the model. ``names`` maps a field to the attribute it was read from, where they differ.

    Raises DeclarationError at the attribute's line.
    """
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = find(node, tuple((names or {}).get(str(part), part) for part in first["loc"]))
        given = first.get("input")
        what = str(first["msg"]).removeprefix("Value error, ")
        if first["type"] != "value_error" and isinstance(given, (str, int, float)):
            what = f"{given!r}: {what[:1].lower()}{what[1:]}"
        raise _named(place, what, first["loc"]) from error


def find(node: Node, location: tuple[str | int, ...]) -> Node:
    """The deepest node on the way of a pydantic error's location."""
    for part in location:
        value = node.value
        if isinstance(value, dict) and str(part) in value:
            node = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            node = value[part]
        else:
            break
    return node


def _named(place: Node, what: str, location: tuple[str | int, ...]) -> DeclarationError:
    last = str(location[-1]) if location else ""
    named = not last or place.path.endswith((last, "]")) or "." not in place.path
    return wrong(place, what if named else f"{last}: {what}")
