"""Where the lock of a declaration lies. Apart from what reads it: nearly every command asks, and most find none."""

from __future__ import annotations

from pathlib import Path

from bayplan.models import Stack
from bayplan.system.probes import probe

NAME = "bayplan.lock"


def beside(stack: Stack) -> Path | None:
    """The place of the lock of a declaration; None for one that was read from no file."""
    first = Path(stack.sources[0]) if stack.sources else None
    return first.parent / NAME if first is not None and probe(first).is_file() else None


def is_there(stack: Stack) -> bool:
    """Whether a declaration has a lock."""
    path = beside(stack)
    return path is not None and probe(path).is_file()
