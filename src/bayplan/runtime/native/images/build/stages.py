"""The stages of a Dockerfile, and which of them a target needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bayplan.errors import DeclarationError
from bayplan.runtime.dockerfile.expand import expand, split
from bayplan.runtime.dockerfile.instructions import Instruction
from bayplan.runtime.native.images.build import platforms


@dataclass
class Draft:
    """A stage as written: its FROM, the name after AS, and what follows. ``base`` and ``platform`` are expanded."""

    head: Instruction
    base: str
    name: str
    platform: str = ""
    body: list[Instruction] = field(default_factory=list)


def drafts(
    instructions: Sequence[Instruction], given: Mapping[str, str], target: str = ""
) -> tuple[list[Draft], dict[str, str]]:
    """The stages in order, and the arguments set before the first. Raises DeclarationError with file and line.

    ``target`` is the platform of the image; empty for the host's.
    """
    outer = platforms.arguments(target or platforms.host())
    found: list[Draft] = []
    for item in instructions:
        if item.name == "FROM":
            found.append(_draft(item, outer, found))
        elif found:
            found[-1].body.append(item)
        elif item.name == "ARG":
            for name, default in arguments(item, outer):
                value = given.get(name, default)
                if value is not None:
                    outer[name] = value
        else:
            raise item.wrong("stands before the first FROM", "only ARG may")
    if not found:
        raise DeclarationError("the Dockerfile has no FROM", where=instructions[0].where)
    return found, outer


def arguments(item: Instruction, variables: Mapping[str, str]) -> list[tuple[str, str | None]]:
    """Names and defaults of an ARG."""
    try:
        rows = [word.partition("=") for word in split(item.text, item.escape)]
        return [
            (expand(name, variables, item.escape), expand(value, variables, item.escape) if sign else None)
            for name, sign, value in rows
        ]
    except ValueError as error:
        raise item.wrong(str(error)) from error


def _draft(item: Instruction, variables: Mapping[str, str], earlier: Sequence[Draft]) -> Draft:
    try:
        words = [expand(word, variables, item.escape) for word in split(item.text, item.escape)]
        platform = expand(item.flag("platform") or "", variables, item.escape)
        platform = platforms.parse(platform) if platform else ""
    except ValueError as error:
        raise item.wrong(str(error)) from error
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
        raise item.wrong("is not of the form FROM image [AS name]")
    if not words[0]:
        raise item.wrong("the image's name is empty", "give the ARG it uses a value")
    name = words[2].lower() if len(words) == 3 else ""
    if name and any(stage.name == name for stage in earlier):
        raise item.wrong(f"a stage named {name!r} exists already")
    return Draft(item, words[0], name, platform)


def index_of(stages: Sequence[Draft], wanted: str, before: int | None = None) -> int | None:
    """Position of the stage of that name or number, among those ``before``; None when there is none."""
    limit = len(stages) if before is None else before
    for position, stage in enumerate(stages[:limit]):
        if stage.name and stage.name == wanted.lower():
            return position
    return int(wanted) if wanted.isdecimal() and int(wanted) < limit else None


def target_of(stages: Sequence[Draft], wanted: str | None) -> int:
    """Position of the target; the last stage when none is named. Raises DeclarationError."""
    if not wanted:
        return len(stages) - 1
    found = index_of(stages, wanted)
    if found is None:
        import difflib

        names = [stage.name for stage in stages if stage.name]
        near = difflib.get_close_matches(wanted.lower(), names, 1) or names
        hint = f"stages: {', '.join(near)}" if near else "no stage has a name"
        raise DeclarationError(f"there is no stage {wanted!r}", where=stages[0].head.where, hint=hint)
    return found
