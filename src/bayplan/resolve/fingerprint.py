"""One digest of all that is declared, with what may differ between environments set apart.

Equal fingerprints mean: the same declaration, the same images where they are locked, and the same rules of what may
differ. Secrets are in it by name alone: a digest of a value could be compared with digests of guesses.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from bayplan.models import Allowance, Model

_FORMAT = 1
_ALIASES = {
    "deploy.resources.limits.": "resources.",
    "mem_limit": "resources.memory",
    "cpus": "resources.cpus",
    "mounts": "volumes",
}
"""Spellings of Compose for places that are called otherwise here, below ``services.NAME.``."""


class Fingerprint(Model):
    """``digest`` counts all but the places in ``apart``; ``unlocked`` are services whose image is held to no digest."""

    digest: str
    apart: tuple[str, ...] = ()
    unlocked: tuple[str, ...] = ()


def fingerprint(places: Mapping[str, Any], allowed: Sequence[Allowance]) -> Fingerprint:
    """That of a declaration in its canonical form."""
    apart = tuple(sorted(path for path in places if rule_for(path, allowed)))
    counted = {path: value for path, value in places.items() if path not in apart}
    rules = sorted({rule.path for rule in allowed})
    text = json.dumps([_FORMAT, rules, counted], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    return Fingerprint(digest=digest, apart=apart, unlocked=tuple(sorted(_unlocked(places))))


def rule_for(path: str, allowed: Sequence[Allowance]) -> Allowance | None:
    """The first rule that lets a place differ."""
    return next((rule for rule in allowed if _pattern(rule.path).fullmatch(path)), None)


@cache
def _pattern(text: str) -> re.Pattern[str]:
    """A rule's places: ``*`` is any name, ``**`` one or more of them; all below a place is meant too."""
    parts = {"**": ".+", "*": r"[^.]+"}
    pieces = re.split(r"(\*\*|\*)", _spelled(text))
    return re.compile("".join(parts.get(piece, re.escape(piece)) for piece in pieces) + r"(\..*)?", re.DOTALL)


def _spelled(text: str) -> str:
    head, services, rest = text.partition("services.")
    if head or not services:
        return text
    name, _, field = rest.partition(".")
    for alias, own in _ALIASES.items():
        if field == alias or (field.startswith(alias) and alias.endswith(".")) or field.startswith(f"{alias}."):
            return f"services.{name}.{own}{field.removeprefix(alias)}"
    return text


def _unlocked(places: Mapping[str, Any]) -> list[str]:
    """Services without a digest; of a build, without those of its files and all that it begins with."""
    found = []
    for path in places:
        service = path.removesuffix(".image")
        if service == path or service.count(".") != 1:
            continue
        locked = (f"{service}.image.digest", f"{service}.build.inputs")
        if not any(name in places for name in locked) and "@" not in str(places[path]):
            found.append(service.removeprefix("services."))
    return found
