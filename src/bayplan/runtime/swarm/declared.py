"""What was last applied, kept as a label of the resource itself: any client of the swarm finds it there."""

from __future__ import annotations

from bayplan.models import Resource
from bayplan.runtime.engine_api.declarations import from_text

__all__ = ["from_text", "to_text"]


def to_text(resource: Resource) -> str:
    """Without contents of secrets, which models never give away."""
    return resource.model_dump_json(exclude_none=True)
