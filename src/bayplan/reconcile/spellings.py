"""Values of fields in one spelling, whichever they were declared or found in."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from typing import Any

from pydantic import BaseModel

from bayplan.models import ImageReference

_UNORDERED = frozenset(
    {"ports", "cap_add", "cap_drop", "group_add", "mounts", "secrets", "configs", "security_opt", "depends_on"}
    | {"expose", "devices", "cdi_devices", "device_cgroup_rules"}
)


def plain(value: Any) -> Any:
    """A model's value as JSON values, with types shown in their readable spelling."""
    if isinstance(value, BaseModel):
        spelled = type(value).__str__ is not BaseModel.__str__
        fields = [name for name, info in type(value).model_fields.items() if not info.exclude]
        return str(value) if spelled else {name: plain(getattr(value, name)) for name in fields}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if value is None or type(value) in (bool, int, float, str):
        return value
    return str(value)


def unset(value: Any) -> bool:
    """Whether nothing was declared."""
    return value is None or value in ((), {})


def canonical(name: str, value: Any) -> Any:
    """A value of a field: the same for every spelling of a value, and every order of what has none."""
    shown = plain(value)
    if name == "image" and shown:
        return _whole_reference(shown)
    if name == "networks" and isinstance(shown, list):
        # The order of networks says which is the way out; that of names on one says nothing.
        unordered = {"aliases", "link_local_ips"}  # a service's network has no addresses of its own
        return [{key: sorted(part) if key in unordered else part for key, part in item.items()} for item in shown]
    if name == "mounts" and isinstance(shown, list):
        # What the image asks for changes with the image, and is no field of the declaration.
        shown = [item for item in shown if not item.get("of_image")]
    if name in ("secrets", "configs") and isinstance(shown, list):
        # Where the content comes from is no part of it: its fingerprint says whether it changed.
        shown = [{key: part for key, part in item.items() if key != "file"} for item in shown]
    if name in _UNORDERED and isinstance(shown, list):
        return sorted(map(repr, shown))
    return shown if not unset(shown) and shown != [] else None


def _whole_reference(text: str) -> str:
    with suppress(ValueError):
        return str(ImageReference.parse(text))
    return text
