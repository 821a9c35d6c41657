"""How the spare one of two containers is named, which are there for the time of a replacement.

Loads nothing: the supervisor, which stays in memory, reads names too.
"""

from __future__ import annotations

from collections.abc import Collection

ASIDE = ".superseded-"
"""In the name of a container that makes room for its successor; the id's beginning follows."""
BESIDE = ".successor-"
"""In the name of one that is not yet its predecessor's successor; something of its own follows."""
_LONGEST = 100


def spare_name(name: str, mark: str, own: str) -> str:
    """The name of the spare one of two; ``mark`` is ``ASIDE`` or ``BESIDE``, ``own`` is nobody else's."""
    return f"{name[:_LONGEST]}{mark}{own[:12]}"


def is_spare(name: str) -> bool:
    """Whether the name is one of these."""
    return ASIDE in name or BESIDE in name


def plain_name(name: str) -> str:
    """What the container of this name is to its user, as far as the name says."""
    return name.partition(ASIDE)[0].partition(BESIDE)[0]


def is_spare_of(name: str, wanted: Collection[str]) -> bool:
    """Whether a name is that of a spare one of a container that is called one of ``wanted``."""
    return is_spare(name) and any(plain_name(name) == one[:_LONGEST] for one in wanted)
