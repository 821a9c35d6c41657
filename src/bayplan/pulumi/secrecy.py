"""Which properties Pulumi has to keep encrypted: those of sensitive fields, and values that look like secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from bayplan.models import is_sensitive
from bayplan.models.secret import may_be_secret
from bayplan.pulumi import names
from bayplan.pulumi.values import Secret


def wrapped(of: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Properties of a model with what is secret marked as such; what is marked already stays so.

    Of a map, such as ``environment``, the values whose names say so (``DB_PASSWORD``), as in every plan.
    """
    fields = {names.camel(name): info for name, info in names.members(of).items()}
    return {name: _field(fields[name], value) if name in fields else value for name, value in values.items()}


def _field(info: FieldInfo, value: Any) -> Any:
    if isinstance(value, Secret):
        return value
    if is_sensitive(info) and isinstance(value, Mapping):
        return {key: _value(key, item) for key, item in value.items()}
    if is_sensitive(info) or is_secret(info):
        return Secret(value)
    return _inside(info.annotation, value)


def is_secret(info: FieldInfo) -> bool:
    """Whether all of a field is: its type says so."""
    text = str(info.annotation)
    return SecretBytes.__name__ in text or SecretStr.__name__ in text


def _inside(annotation: Any, value: Any) -> Any:
    if isinstance(value, Mapping) and names.members(annotation):
        return wrapped(annotation, value)
    if isinstance(value, (list, tuple)):
        return [_inside(names.items(annotation), item) for item in value]
    return value


def _value(key: str, value: Any) -> Any:
    return value if isinstance(value, Secret) or not may_be_secret(key, value) else Secret(value)
