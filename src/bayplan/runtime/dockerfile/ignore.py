"""``.dockerignore``: which files of a context do not exist for the build (Dockerfile reference, ".dockerignore")."""

from __future__ import annotations

import re


class Ignore:
    """Patterns in order; the last that matches a path or a directory above it decides."""

    def __init__(self, text: str = "") -> None:
        """Read the file's text. Raises ValueError naming a malformed pattern."""
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for line in text.removeprefix("\ufeff").splitlines():
            if line.startswith("#") or not line.strip():
                continue
            pattern = line.strip()
            keep = pattern.startswith("!")
            parts = [part for part in pattern.removeprefix("!").strip().split("/") if part not in ("", ".")]
            if ".." in parts:
                raise ValueError(f"{line!r} leads out of the context")
            if parts:
                self._rules.append((keep, translate("/".join(parts))))

    def __call__(self, path: str) -> bool:
        """Whether the path, relative to the context, is left out."""
        ignored = False
        for keep, pattern in self._rules:
            if keep is ignored and _matches(pattern, path):
                ignored = not keep
        return ignored

    @property
    def has_exceptions(self) -> bool:
        """Whether a file in a directory that is left out can be in again."""
        return any(keep for keep, _ in self._rules)


def _matches(pattern: re.Pattern[str], path: str) -> bool:
    parts = path.split("/")
    return any(pattern.fullmatch("/".join(parts[:count])) for count in range(1, len(parts) + 1))


def translate(pattern: str) -> re.Pattern[str]:
    """A pattern of Go's filepath.Match, with ``**`` for any number of directories. Raises ValueError."""
    out, at = "", 0
    while at < len(pattern):
        sign = pattern[at]
        if pattern.startswith("**/", at):
            out, at = out + "(?:.*/)?", at + 3
            continue
        if pattern.startswith("**", at):
            out, at = out + ".*", at + 2
            continue
        if sign == "*":
            out += "[^/]*"
        elif sign == "?":
            out += "[^/]"
        elif sign == "[":
            end = pattern.find("]", at + 2)
            if end < 0:
                raise ValueError(f"a ] is missing in pattern {pattern!r}")
            inside = pattern[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            out += f"[{inside}]"
            at = end
        elif sign == "\\" and at + 1 < len(pattern):
            at += 1
            out += re.escape(pattern[at])
        else:
            out += re.escape(sign)
        at += 1
    try:
        return re.compile(out, re.DOTALL)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} is malformed: {error}") from error
