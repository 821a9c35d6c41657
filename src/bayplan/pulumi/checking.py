"""Whether inputs can be: each field by its model's own rules, told by the path of its property.

Before a preview some values are not known yet: what they would be is not judged, the rest is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from bayplan.models.base import Model
from bayplan.pulumi import names
from bayplan.pulumi.failures import Wrong
from bayplan.pulumi.shapes import Shape
from bayplan.pulumi.values import UNKNOWN, plain

_GRANTS = {"secrets": "/run/secrets/", "configs": "/"}
"""Where a grant that names no target is found inside."""
_WORD = re.compile(r"[a-z][a-z0-9_]+")

Place = tuple[str | int, ...]


def fields(shape: Shape, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Plain inputs as the fields of the models, with grants that say where they are found."""
    found: dict[str, Any] = names.fields(shape.fields, plain(inputs))
    for name, top in _GRANTS.items():
        if shape.model is not None and isinstance(found.get(name), list):
            found[name] = [_grant(item, top) for item in found[name]]
    return found


def wrong(shape: Shape, values: Mapping[str, Any]) -> list[Wrong]:
    """What is wrong with fields (``fields``); nothing when all is well."""
    unknown = set(_unknown(values, ()))
    known, given, model = _pruned(values), shape.of.given, shape.of.model
    if model is None:
        return _of(given, known, unknown)
    foreign = [name for name in known if name in shape.of.left_out]
    found = [Wrong(names.camel(name), f"there is no property {names.camel(name)!r}") for name in foreign]
    own = {name: value for name, value in known.items() if name in given.model_fields}
    rest = {name: value for name, value in known.items() if name not in own or name in model.model_fields}
    return list(dict.fromkeys([*found, *_of(given, own, unknown), *_of(model, rest, unknown)]))


def of_model(model: type[Model], values: Mapping[str, Any]) -> list[Wrong]:
    """The same for a model alone."""
    return _of(model, _pruned(values), set(_unknown(values, ())))


def _of(model: type[Model], values: Mapping[str, Any], unknown: set[Place]) -> list[Wrong]:
    try:
        model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        return [_wrong(model, item) for item in found if not _excused(item, unknown)]
    return []


def _excused(item: Mapping[str, Any], unknown: set[Place]) -> bool:
    """Whether it may be well once everything is known: something is missing, or a whole has a part that is unknown."""
    place = item["loc"]
    if item["type"] == "missing":
        return place in unknown or any(place[: len(one)] == one for one in unknown)
    return item["type"] == "value_error" and any(one[: len(place)] == place for one in unknown)


def _wrong(model: type[Model], item: Mapping[str, Any]) -> Wrong:
    place: Place = item["loc"]
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        above = names.path(model, place[:-1])
        return Wrong(f"{above}.{place[-1]}".lstrip("."), _no_such(model, place))
    if item["type"] == "missing":
        message = "is missing"
    if not place:  # the whole: what the sentence names first
        place = next(((word,) for word in _WORD.findall(message) if word in model.model_fields), ())
    return Wrong(names.path(model, place), message)


def _no_such(model: type[Model], place: Place) -> str:
    given = str(place[-1])
    known = [names.camel(name) for name in _siblings(model, place)]
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    return f"there is no property {given!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def _siblings(model: type[Model], place: Place) -> Sequence[str]:
    of: Any = model
    for step in place[:-1]:
        of = names.members(of)[step].annotation if step in names.members(of) else names.items(of)
    return list(names.members(of))


def _grant(item: Any, top: str) -> Any:
    if not isinstance(item, Mapping) or item.get("target") is not None or not isinstance(item.get("source"), str):
        return item
    return {**item, "target": f"{top}{item['source']}"}


def _unknown(value: Any, place: Place) -> Iterator[Place]:
    if value is UNKNOWN:
        yield place
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _unknown(item, (*place, name))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _unknown(item, place if item is UNKNOWN else (*place, index))


def _pruned(value: Any) -> Any:
    """Without what is unknown; a list of which an item is unknown is so as a whole, as its places would move."""
    if isinstance(value, Mapping):
        return {name: _pruned(item) for name, item in value.items() if not _is_unknown(item)}
    if isinstance(value, (list, tuple)):
        return [_pruned(item) for item in value]
    return value


def _is_unknown(value: Any) -> bool:
    return value is UNKNOWN or (isinstance(value, (list, tuple)) and any(item is UNKNOWN for item in value))
