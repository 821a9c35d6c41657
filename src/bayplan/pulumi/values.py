"""Values as Pulumi sends them, and plain Python: the one place that knows the wire (protobuf ``Struct``).

What JSON cannot say travels in an object with a signature, or as a string that is a sentinel (Pulumi's
``sdk/go/common/resource/plugin/rpc.go``): values not known yet, secrets, outputs, assets, archives, references.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a signature of the wire
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_REFERENCE = "5cf8f73096256a8f31e491e813e4eb8e"
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWNS = frozenset(
    (
        _UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    )
)
"""One for each type of value; only the first is ever sent."""
_EXACT = 2**53
"""Whole numbers below it are themselves as floats (IEEE 754)."""


class Unknown:
    """A value that is known only once something else was made."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that is never shown; Pulumi keeps it encrypted."""

    value: Any = field(repr=False)


@dataclass(frozen=True)
class Reference:
    """Another resource: its name in the program, and its id there (UNKNOWN until it is made)."""

    urn: str
    id: Any = None
    version: str = ""


@dataclass(frozen=True)
class Opaque:
    """An asset, an archive, or what a later Pulumi may send: handed on as it came."""

    signature: str
    content: Mapping[str, Any] = field(repr=False)


def decode(given: Struct) -> dict[str, Any]:
    """A struct of the wire as a dict. Null members are as absent."""
    found = {name: _decode(value) for name, value in given.fields.items()}
    return {name: value for name, value in found.items() if value is not None}


def encode(values: Mapping[str, Any]) -> Struct:
    """A dict as a struct of the wire; members that are None are left out."""
    fields = {str(name): _encode(value) for name, value in values.items() if value is not None}
    return Struct(fields=fields)


def plain(value: Any) -> Any:
    """Without what says that parts of it are secret; a reference is the id of what it names."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, Reference):
        return value.id
    return _mapped(value, plain)


def is_known(value: Any) -> bool:
    """Whether nothing in it is unknown."""
    value = plain(value)
    if isinstance(value, Mapping):
        return all(map(is_known, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(is_known, value))
    return value is not UNKNOWN


def _mapped(value: Any, through: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping):
        return {name: through(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [through(item) for item in value]
    return value


def _decode(given: Value) -> Any:
    kind = given.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if given.string_value in _UNKNOWNS else given.string_value
    if kind == "number_value":
        number = given.number_value
        return int(number) if number.is_integer() and abs(number) <= _EXACT else number
    if kind == "bool_value":
        return given.bool_value
    if kind == "list_value":
        return [_decode(item) for item in given.list_value.values]
    if kind == "struct_value":
        fields = given.struct_value.fields
        return _special(given.struct_value) if _SIGNATURE in fields else decode(given.struct_value)
    return None


def _special(given: Struct) -> Any:
    content = {name: _decode(value) for name, value in given.fields.items() if name != _SIGNATURE}
    signature = given.fields[_SIGNATURE].string_value
    if signature == _SECRET:
        return Secret(content.get("value"))
    if signature == _OUTPUT:
        value = content.get("value", UNKNOWN)
        return Secret(value) if content.get("secret") else value
    if signature == _REFERENCE:
        # The id of a component is not there; that of what is not made yet is an empty string.
        name = content.get("id")
        return Reference(str(content.get("urn")), UNKNOWN if name == "" else name, content.get("packageVersion") or "")
    return Opaque(signature, content)


def _encode(value: Any) -> Value:
    if value is None or isinstance(value, (bool, int, float, str)):
        return _scalar(value)
    if isinstance(value, Mapping):
        return Value(struct_value=encode(value))
    if isinstance(value, Sequence):
        return Value(list_value=ListValue(values=[_encode(item) for item in value]))
    if isinstance(value, Unknown):
        return Value(string_value=_UNKNOWN)
    return Value(struct_value=_of_special(value))


def _scalar(value: bool | float | str | None) -> Value:
    if value is None:
        return Value(null_value=NULL_VALUE)
    if isinstance(value, bool):
        return Value(bool_value=value)
    return Value(string_value=value) if isinstance(value, str) else Value(number_value=value)


def _of_special(value: Any) -> Struct:
    content: Mapping[str, Any]
    if isinstance(value, Secret):
        signature, content = _SECRET, {"value": value.value}
    elif isinstance(value, Reference):
        known = "" if value.id is UNKNOWN else value.id
        signature, content = _REFERENCE, {"urn": value.urn, "id": known, "packageVersion": value.version}
        content = {name: item for name, item in content.items() if item is not None}
    elif isinstance(value, Opaque):
        signature, content = value.signature, value.content
    else:
        raise TypeError(f"{type(value).__name__} is no value of Pulumi")
    fields = {name: _encode(item) for name, item in content.items()}
    return Struct(fields={_SIGNATURE: _encode(signature), **fields})


def empty() -> Any:
    """The answer that says nothing."""
    return Empty()


def any_of(message: Any) -> Any:
    """A message of any type, as details of a status have it."""
    packed = AnyMessage()
    packed.Pack(message)
    return packed
