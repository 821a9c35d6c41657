"""Fields of models as dotted places and JSON values: what says nothing is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bayplan.reconcile.spellings import plain

_UNORDERED = frozenset({"ports", "cap_add", "cap_drop", "group_add", "security_opt", "expose", "dns_opt", "aliases"})


def flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Places of a field's value: nested models and mappings by their parts."""
    if isinstance(value, BaseModel):
        shown = plain(value)
        if not isinstance(shown, dict):
            yield path, shown
            return
        for name, info in type(value).model_fields.items():
            part = getattr(value, name)
            if is_set(part, info):
                yield from flat(f"{path}.{name}", part)
        return
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield f"{path}.{key}", plain(part)
        return
    shown = plain(value)
    if isinstance(shown, list) and path.rpartition(".")[2] in _UNORDERED:
        shown = sorted(shown, key=_text)
    yield path, shown


def is_set(value: Any, info: FieldInfo) -> bool:
    """Whether a field is recorded and says something."""
    empty = info.exclude or value in (None, (), {}, "")
    return not empty and value != info.get_default(call_default_factory=True)


def set_fields(item: BaseModel, apart: set[str]) -> dict[str, Any]:
    """What of a small model is set, as JSON values; ``type`` always."""
    found = {}
    for name, info in type(item).model_fields.items():
        value = getattr(item, name)
        if name not in apart and (name in ("type", "source") or is_set(value, info)):
            found[name] = plain(value)
    return found


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
