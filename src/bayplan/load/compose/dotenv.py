"""``.env`` and ``env_file`` texts (Compose specification, "env_file format")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bayplan.errors import DeclarationError, Location
from bayplan.load.compose.interpolate import TemplateError, substitute

_KEY = re.compile(r"\s*(?:export\s+)?([A-Za-z_0-9.\[\]-]+)[ \t]*(?:([=:])|(?=[ \t]*(?:#.*)?(?:\n|$)))")
_BLANK = re.compile(r"\s*(?:#[^\n]*)?(?:\n|$)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$$", "'": "'"}


def read(path: Path, inherited: Mapping[str, str], *, raw: bool = False) -> dict[str, str]:
    """The variables of a file; see ``parse``. Raises DeclarationError, also when the file cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise DeclarationError(f"cannot read env file: {why}", where=str(path)) from error
    return parse_raw(text) if raw else parse(text, inherited, label=str(path))


def parse_raw(text: str) -> dict[str, str]:
    """``format: raw``: everything after the first ``=`` is the value, as it stands."""
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    return {key.strip(): value for key, equals, value in (line.partition("=") for line in lines) if equals}


def parse(text: str, inherited: Mapping[str, str], *, label: str) -> dict[str, str]:
    """Read the usual format: single quotes raw, double quotes with escapes and variables, `` #`` a comment.

    ``inherited`` is what bare names take their value from and what variables see before the file's own entries.
    Raises DeclarationError with the line.
    """
    text = text.replace("\r\n", "\n")
    values: dict[str, str] = {}

    def lookup(name: str) -> str | None:
        return inherited[name] if name in inherited else values.get(name)

    position = 0
    while position < len(text):
        blank = _BLANK.match(text, position)
        if blank and blank.end() > position:
            position = blank.end()
            continue
        at = Location(label, text.count("\n", 0, position) + 1)
        found = _KEY.match(text, position)
        if not found:
            raise DeclarationError(f"not NAME=value: {text[position:].splitlines()[0]!r}", where=at)
        position = found.end()
        if not found[2]:
            if found[1] in inherited:
                values[found[1]] = inherited[found[1]]
            continue
        try:
            value, position = _value(text, position, at)
            values[found[1]] = value if isinstance(value, str) else substitute(value[0], lookup)
        except TemplateError as error:
            raise DeclarationError(f"{found[1]}: {error}", where=at) from error
    return values


def _value(text: str, start: int, at: Location) -> tuple[str | tuple[str], int]:
    """A raw value, or a one-tuple of a text to substitute, and where the rest begins."""
    while text[start : start + 1] in (" ", "\t"):
        start += 1
    quote = text[start : start + 1]
    if quote and quote in "'\"":
        end = start + 1
        while end < len(text) and text[end] != quote:
            end += 2 if text[end] == "\\" and quote == '"' else 1
        if end >= len(text):
            raise DeclarationError(f"unterminated {quote}", where=at)
        inner = text[start + 1 : end]
        newline = text.find("\n", end)
        rest = text[end + 1 : newline if newline >= 0 else len(text)].strip()
        if rest and not rest.startswith("#"):
            raise DeclarationError(f"text after the closing quote: {rest!r}", where=at)
        following = len(text) if newline < 0 else newline + 1
        if quote == "'":
            return inner, following
        return (_ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[0]), inner),), following
    newline = text.find("\n", start)
    line = text[start : newline if newline >= 0 else len(text)]
    line = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
    return (line,), len(text) if newline < 0 else newline + 1
