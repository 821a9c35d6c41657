"""Heredocs of RUN, COPY and ADD (Dockerfile reference, "Here-Documents")."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bayplan.errors import DeclarationError, Location
from bayplan.runtime.dockerfile.expand import expand, split

_MAY_HAVE = re.compile(r"^(?:ONBUILD\s+)?(?:RUN|COPY|ADD)\s", re.IGNORECASE)
_WORD = re.compile(r"^\d*<<(-?)([^<]+)$")
_NAME = re.compile(r"[A-Za-z_][\w.-]*")


@dataclass(frozen=True)
class Heredoc:
    """One of them: its delimiter, its text as written, whether variables in it count, whether tabs in front go."""

    name: str
    body: str
    expands: bool
    strips_tabs: bool

    @property
    def data(self) -> str:
        """The text without the tabs that ``<<-`` takes off."""
        return re.sub(r"(?m)^\t+", "", self.body) if self.strips_tabs else self.body

    def content(self, variables: Mapping[str, str], escape: str) -> str:
        """As a file: variables replaced unless the delimiter is quoted; quotes stay. Raises ValueError."""
        return expand(self.data, variables, escape, keep_quotes=True) if self.expands else self.data

    def written(self) -> str:
        """As it stood after its line: what a shell reads."""
        return f"\n{self.body}{self.name}"


def announced(line: str, escape: str) -> list[Heredoc]:
    """The heredocs that a line announces, still without text. A shift (``1<<2``) and a here-string are none."""
    if not _MAY_HAVE.match(line) or "<<" not in line:
        return []
    try:
        words = split(line, escape)
    except ValueError:  # a quote that only the shell understands
        words = line.split()
    return [found for word in words if (found := of_word(word, escape)) is not None]


def of_word(word: str, escape: str) -> Heredoc | None:
    """What a word announces: ``<<NAME``, ``<<-NAME``, ``3<<"NAME"``."""
    match = _WORD.match(word)
    if not match:
        return None
    try:
        name = expand(match[2], {}, escape)
    except ValueError:
        return None
    return Heredoc(name, "", name == match[2], bool(match[1])) if _NAME.fullmatch(name) else None


def read(line: str, lines: Sequence[str], at: int, escape: str, where: Location) -> tuple[tuple[Heredoc, ...], int]:
    """The heredocs of a line, which begin at ``at``, and where they end. Raises DeclarationError for an open one."""
    found = []
    for item in announced(line, escape):
        start = at
        while at < len(lines):
            text = lines[at].rstrip("\r")
            if (text.lstrip("\t") if item.strips_tabs else text) == item.name:
                break
            at += 1
        else:
            raise DeclarationError(f"the heredoc {item.name} is not closed", where=where, hint=f"a line {item.name}")
        body = "".join(f"{text}\n" for text in lines[start:at])
        found.append(Heredoc(item.name, body, item.expands, item.strips_tabs))
        at += 1
    return tuple(found), at
