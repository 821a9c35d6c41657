"""Which files a source of COPY or ADD names, with ``--parents`` and ``--exclude`` (Dockerfile reference, "COPY")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bayplan.runtime.dockerfile.ignore import Ignore
from bayplan.runtime.native.images.build.files import Entry, Files

Group = tuple[Entry, ...]


@dataclass(frozen=True)
class Choice:
    """How sources are read. ``parents`` keeps the directories above them, from ``/./`` in a source on."""

    parents: bool = False
    exclude: tuple[str, ...] = ()

    def material(self) -> list[Any]:
        """What decides the result; nothing when all is as usual."""
        return [["choice", self.parents, self.exclude]] if self != USUAL else []


USUAL = Choice()


def groups(files: Files, pattern: str, choice: Choice) -> tuple[Group, ...]:
    """What a source names, each with all below it; empty when nothing is there. Raises ValueError for a bad pattern."""
    if not choice.parents:
        paths = files.match(pattern)
        found = [entries for path in paths if (entries := files.entries(path))]
    else:
        found = _with_parents(files, pattern)
    return tuple(kept(group, choice.exclude) for group in found)


def _with_parents(files: Files, pattern: str) -> list[Group]:
    """One tree of all that the source names, below the part in front of ``/./``."""
    front, pivot, _ = pattern.partition("/./")
    depth = len([part for part in front.split("/") if part not in ("", ".")]) if pivot else 0
    rows: dict[str, Entry] = {}
    for path in files.match(pattern):
        entries = files.entries(path)
        parts = path.split("/")
        for count in range(depth + 1, len(parts) if entries else 0):
            above = files.alone("/".join(parts[:count]))
            if above is not None:
                name = "/".join(parts[depth:count])
                rows.setdefault(name, replace(above, name=name))
        below = "/".join(parts[depth:])
        for entry in entries:
            name = f"{below}/{entry.name}".strip("/")
            rows.setdefault(name, replace(entry, name=name))
    if not rows:
        return []
    rows.pop("", None)
    return [(Entry("", "", "directory", 0o755), *rows.values())]


def kept(group: Group, patterns: Sequence[str]) -> Group:
    """Without what is excluded: paths are relative to the source, that of a file is its name."""
    if not patterns:
        return group
    left_out = Ignore("\n".join(patterns))
    top = group[0]
    if top.kind != "directory":
        return () if left_out(top.base) else group
    names = {entry.name for entry in group if not entry.name or not left_out(entry.name)}
    # A directory stays for what an exception keeps in it.
    names |= {parent for name in names for parent in _above(name)}
    return tuple(entry for entry in group if entry.name in names)


def _above(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
