"""What a rule of ``allow`` covers, as ``bayplan parity`` on the hosts reads it (docs/parity.md).

Programs install no engine, so this is written once more here; a test holds both to one table of cases.
"""

from __future__ import annotations

import re
from functools import cache

ALIASES = {
    "deploy.resources.limits.": "resources.",
    "mem_limit": "resources.memory",
    "cpus": "resources.cpus",
    "mounts": "volumes",
}
"""Spellings of Compose for places that are called otherwise in reports, below ``services.NAME.``."""


def covers(rule: str, place: str) -> bool:
    """Whether a rule is for a place, or for one above it: ``*`` is any name, ``**`` one or more of them.

    A place is one of a declaration in Compose's words, so that it is spelled as reports do it, as the rule is.
    """
    return _pattern(rule).fullmatch(_spelled(place)) is not None


@cache
def _pattern(rule: str) -> re.Pattern[str]:
    parts = {"**": ".+", "*": r"[^.]+"}
    pieces = re.split(r"(\*\*|\*)", _spelled(rule))
    return re.compile("".join(parts.get(piece, re.escape(piece)) for piece in pieces) + r"(\..*)?", re.DOTALL)


def _spelled(place: str) -> str:
    head, services, rest = place.partition("services.")
    if head or not services:
        return place
    name, _, field = rest.partition(".")
    for alias, own in ALIASES.items():
        if field == alias or (field.startswith(alias) and alias.endswith(".")) or field.startswith(f"{alias}."):
            return f"services.{name}.{own}{field.removeprefix(alias)}"
    return place
