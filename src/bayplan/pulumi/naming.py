"""Names that the program leaves to the provider: its own name for the resource, and seven hex digits.

They come from the URN and the seed that Pulumi sends: the same in a preview and the update after it, another one for
a replacement, which is made before its predecessor is removed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from bayplan.pulumi.values import plain

DEFAULTS = "__defaults"
"""Input that lists the properties which were not given: Pulumi keeps it with the others."""
_DIGITS = 7
_MOST = 128
_MOST_OF_A_PROJECT = 63
_NOT_OF_A_PROJECT = re.compile(r"[^a-z0-9_-]+")
_NOT_OF_A_NAME = re.compile(r"[^a-zA-Z0-9_.-]+")


def automatic(logical: str, urn: str, seed: bytes) -> str:
    """A name of the host for a resource that the program calls ``logical``."""
    cleaned = _NOT_OF_A_NAME.sub("-", logical).strip("-._") or "resource"
    digest = hashlib.sha256(urn.encode() + b"\0" + seed).hexdigest()[:_DIGITS]
    return f"{cleaned[: _MOST - _DIGITS - 1]}-{digest}"


def of_project(name: str) -> str:
    """A name as projects may have it (Compose specification, "name"): its end is what makes it another."""
    cleaned = _NOT_OF_A_PROJECT.sub("-", name.lower())
    end = _DIGITS + 1
    return cleaned if len(cleaned) <= _MOST_OF_A_PROJECT else cleaned[: _MOST_OF_A_PROJECT - end] + cleaned[-end:]


def logical_name(urn: str) -> str:
    """The last part of a URN (``urn:pulumi:STACK::PROJECT::TYPE::NAME``)."""
    return urn.rpartition("::")[2] or urn


def is_automatic(inputs: Mapping[str, Any], name: str = "name") -> bool:
    """Whether the name was made here."""
    return name in (plain(inputs.get(DEFAULTS)) or ())
