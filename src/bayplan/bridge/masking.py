"""Texts as differences show them: without the values of lines whose names sound secret, or which have a password."""

from __future__ import annotations

import re

from bayplan.models.secret import may_be_secret
from bayplan.reconcile.diff import MASK

_SETTING = re.compile(r"^(\s*[\"']?([\w.-]+)[\"']?\s*[:=]\s*)(?=\S)(.*)$", re.MULTILINE)
_HIDDEN = "# what is masked is another\n"


def masked(text: str) -> str:
    """``password = x`` as ``password = ********``, and all other lines as they are."""
    return _SETTING.sub(lambda found: found[1] + MASK if may_be_secret(found[2], found[3]) else found[0], text)


def both(before: str, after: str) -> tuple[str, str]:
    """Two texts, masked; they stay apart where only masked values differ."""
    shown = masked(before), masked(after)
    return (shown[0], shown[1] + _HIDDEN) if before != after and shown[0] == shown[1] else shown
