"""Values of a program as the content of a Compose file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi


def literal(value: Any) -> Any:
    """A value in which nothing is a variable: ``$`` is written twice (Compose specification, "interpolation")."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, Mapping):
        return {name: literal(item) for name, item in value.items()}
    if isinstance(value, Sequence):
        return [literal(item) for item in value]
    return value


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are given; a whole of which nothing is given is not given either."""
    found = {name: given(item) if isinstance(item, Mapping) else item for name, item in values.items()}
    return {name: item for name, item in found.items() if item is not None and item != {}}


def resolved(values: Mapping[str, Any]) -> pulumi.Output[dict[str, Any]]:
    """A declaration once all outputs in it are known, with nothing in it a variable."""
    return pulumi.Output.from_input(values).apply(lambda known: dict(literal(known)))
