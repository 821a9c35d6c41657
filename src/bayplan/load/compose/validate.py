"""Models from values, with pydantic's complaints turned into errors at the line of the value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from bayplan.errors import DeclarationError
from bayplan.load.compose.faults import Faults
from bayplan.load.compose.nodes import Node, wrong
from bayplan.models import Model

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=Model)


def make(model: type[M], node: Node, values: Mapping[str, Any], names: Mapping[str, str] | None = None) -> M:
    """An instance of the model. ``names`` maps a field to the attribute it was read from, where they differ.

    Raises DeclarationError at the attribute's line.
    """
    try:
        return model(**values)
    except ValidationError as error:
        # One for each field: of a union pydantic complains for every member.
        of_fields = {one["loc"][:1]: one for one in reversed(error.errors(include_url=False))}
        faults = Faults()
        for one in of_fields.values():
            faults.add(_told(node, one, names or {}))
        faults.tell()
        raise  # pydantic never complains of nothing


def _told(node: Node, found: ErrorDetails, names: Mapping[str, str]) -> DeclarationError:
    place = find(node, tuple(names.get(str(part), part) for part in found["loc"]))
    given = found.get("input")
    what = str(found["msg"]).removeprefix("Value error, ")
    if found["type"] != "value_error" and isinstance(given, (str, int, float)):
        what = f"{given!r}: {what[:1].lower()}{what[1:]}"
    return _named(place, what, found["loc"])


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
