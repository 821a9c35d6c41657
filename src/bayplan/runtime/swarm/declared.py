"""What was last applied, kept as a label of the resource itself: any client of the swarm finds it there."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from bayplan.models import Resource

_R = TypeVar("_R", bound=Resource)


def to_text(resource: Resource) -> str:
    """Without contents of secrets, which models never give away."""
    return resource.model_dump_json(exclude_none=True)


def from_text(model: type[_R], text: str | None) -> _R | None:
    """None where nothing was recorded, and for a record of another version that this one does not know."""
    if not text:
        return None
    try:
        return model.model_validate_json(text)
    except ValidationError:
        return None
