"""Containers of the native core: specification, life, commands, logs and records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayplan.runtime.native.containers.containers import Containers

__all__ = ["Containers"]


def __getattr__(name: str) -> Any:
    """``Containers``, loaded when it is asked for: the supervisor uses only small parts of this room."""
    if name != "Containers":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from bayplan.runtime.native.containers.containers import Containers

    return Containers
