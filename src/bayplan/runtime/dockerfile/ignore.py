"""``.dockerignore``: which files of a context do not exist for the build (Dockerfile reference, ".dockerignore")."""

from __future__ import annotations

import re

_OURS = "**/bayplan.lock"
"""A lock beside a Dockerfile would change with each build that it records; ``!bayplan.lock`` has it in all the same."""
_ANY_DEPTH = re.compile(r"(?:\*\*/)*\*\*/?")


class Ignore:
    """Patterns in order; the last that matches a path or a directory above it decides."""

    def __init__(self, text: str = "") -> None:
        """Read the file's text. Raises ValueError naming a malformed pattern."""
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for line in (_OURS, *text.removeprefix("\ufeff").splitlines()):
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
    out: list[str] = []
    star, at = -1, 0
    while at < len(pattern):
        sign = pattern[at]
        if match := _ANY_DEPTH.match(pattern, at):
            # Several of them say no more than one.
            out.append("(?:.*/)?" if match[0].endswith("/") else ".*")
            star, at = -1, match.end()
            continue
        if sign == "*":
            if star >= 0:
                # What stands between two of them may be taken where it is found first: tried at each place, a few
                # stars more would take hours (as fnmatch of the standard library does it).
                out[star] = "(?>[^/]*?"
                out.append(")")
            star = len(out)
            out.append("[^/]*")
        elif sign == "?":
            out.append("[^/]")
        elif sign == "[":
            end = pattern.find("]", at + 2)
            if end < 0:
                raise ValueError(f"a ] is missing in pattern {pattern!r}")
            inside = pattern[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            out.append(f"[{inside}]")
            at = end
        elif sign == "\\" and at + 1 < len(pattern):
            at += 1
            out.append(re.escape(pattern[at]))
        else:
            star = -1 if sign == "/" else star
            out.append(re.escape(sign))
        at += 1
    try:
        return re.compile("".join(out), re.DOTALL)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} is malformed: {error}") from error
