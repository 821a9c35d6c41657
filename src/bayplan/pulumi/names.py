"""Fields of models and properties of Pulumi: ``stop_grace_period`` is ``stopGracePeriod``, at every depth.

Which keys are names of ours is known by the types of a model; keys of a map (labels, environment, sysctls) are the
user's, and stay as they were written.
"""

from __future__ import annotations

import functools
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_WORD = re.compile(r"_([a-z0-9])")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@functools.cache
def camel(name: str) -> str:
    """The property of a field: ``host_ip`` is ``hostIp``."""
    return _WORD.sub(lambda found: found[1].upper(), name)


def properties(of: Any, values: Any) -> Any:
    """Values of a model (or of another annotation) by the names of properties. What is no field is kept as it is."""
    return _renamed(of, values, outward=True)


def fields(of: Any, given: Any) -> Any:
    """The reverse of ``properties``; a key that names no property is kept, so that a message can show it."""
    return _renamed(of, given, outward=False)


def path(of: Any, place: Sequence[str | int]) -> str:
    """A place in a model, as pydantic gives it, as Pulumi writes it: ``ports[0].hostIp``, ``labels["a.b"]``."""
    text = ""
    for step in place:
        kind, inner = _taken_apart(of)
        if kind == "members" and step not in inner:
            continue  # the tag of a member of a union, or a word of pydantic's own
        shown = camel(str(step)) if kind == "members" else step
        text += _step(shown, first=not text)
        of = inner.get(step) if kind == "members" else inner
    return text


def members(of: Any) -> dict[str, FieldInfo]:
    """The fields of a model, or of every model of a union; none for another annotation."""
    found = models(of)
    return {name: info for model in found for name, info in model.model_fields.items()}


def items(of: Any) -> Any:
    """The annotation of each item of a list, or of each value of a map; None for another annotation."""
    kind, inner = _taken_apart(of)
    return inner if kind == "items" else None


def _step(shown: str | int, *, first: bool) -> str:
    if isinstance(shown, int):
        return f"[{shown}]"
    if not _PLAIN.fullmatch(shown):
        return f'["{shown}"]'
    return shown if first else f".{shown}"


def _renamed(of: Any, values: Any, *, outward: bool) -> Any:
    kind, inner = _taken_apart(of)
    if isinstance(values, Mapping) and kind == "members":
        # Each key by the other name, and the field whose type says what is below it.
        known = {name: (camel(name), name) if outward else (name, name) for name in inner}
        known = known if outward else {camel(name): pair for name, pair in known.items()}
        pairs = [(*known.get(key, (key, None)), item) for key, item in values.items()]
        return {key: _renamed(inner.get(field), item, outward=outward) for key, field, item in pairs}
    if isinstance(values, Mapping) and kind == "items":
        return {key: _renamed(inner, item, outward=outward) for key, item in values.items()}
    if isinstance(values, (list, tuple)) and kind == "items":
        return [_renamed(inner, item, outward=outward) for item in values]
    return values


@functools.cache
def _taken_apart(of: Any) -> tuple[str, Any]:
    """``members`` and the annotation of each field; ``items`` and the annotation of all; or neither."""
    found = members(of)
    if found:
        return "members", {name: info.annotation for name, info in found.items()}
    for one in _alternatives(of):
        arguments = typing.get_args(one)
        if typing.get_origin(one) in (tuple, list, dict) and arguments:
            return "items", arguments[1] if typing.get_origin(one) is dict else arguments[0]
    return "", None


def models(of: Any) -> list[type[BaseModel]]:
    """The models that an annotation is of: several of a union, none for another annotation."""
    return [one for one in _alternatives(of) if isinstance(one, type) and issubclass(one, BaseModel)]


def _alternatives(of: Any) -> tuple[Any, ...]:
    """What an annotation may be, without what only decorates it."""
    origin = typing.get_origin(of)
    if origin is typing.Annotated:
        return _alternatives(typing.get_args(of)[0])
    if origin in (typing.Union, types.UnionType):
        return tuple(part for one in typing.get_args(of) for part in _alternatives(one))
    return (of,)
