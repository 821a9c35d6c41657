"""COPY and ADD lowered to a step: sources looked up, the destination worked out. Reads only."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from bayplan.errors import NotFoundError
from bayplan.runtime.dockerfile import heredoc
from bayplan.runtime.dockerfile.expand import split
from bayplan.runtime.dockerfile.ignore import Ignore
from bayplan.runtime.dockerfile.instructions import Instruction
from bayplan.runtime.native.images.build import select
from bayplan.runtime.native.images.build.bases import Base
from bayplan.runtime.native.images.build.files import Entry, Files
from bayplan.runtime.native.images.build.modes import Mode
from bayplan.runtime.native.images.build.steps import Copy

_NO_ID = 2**32 - 1
"""chown(2) takes it for "leave as it is", and nothing above it."""


class Stage(Protocol):
    """What an instruction may ask of the stage it stands in."""

    files: Files

    def variables(self) -> dict[str, str]:
        """What instructions may use."""

    def expand(self, item: Instruction, text: str) -> str:
        """A word with its variables replaced. Raises ValueError."""

    def directory(self) -> str:
        """The working directory so far."""

    def source(self, item: Instruction, name: str) -> int | Base:
        """The stage or image of a ``from``. Raises DeclarationError, NotFoundError."""


def lower(item: Instruction, stage: Stage) -> Copy:
    """The step. Raises DeclarationError, NotBuiltYetError, NotFoundError, ValueError."""
    words = list(item.words) if item.words is not None else split(item.text, item.escape)
    written, words = _written(item, stage, words)
    words = [stage.expand(item, word) for word in words]
    choice, fetched = _choice(item, stage), list[select.Group]()
    if item.name == "ADD":
        from bayplan.runtime.native.images.build import remote

        fetched, words = remote.split(item, stage, words)
    if not words or len(written) + len(fetched) + len(words) < 2:
        raise item.wrong("needs a source and a destination")
    *patterns, target = words
    into = target.endswith("/") or target in (".", "..") or target.endswith("/.")
    if len(patterns) + len(written) + len(fetched) > 1 and not into:
        raise item.wrong("with several sources the destination is a directory", f"write {target}/")
    origin = item.flag("from")
    if origin and (written or fetched):
        raise item.wrong("a heredoc and --from exclude each other")
    mode = stage.expand(item, item.flag("chmod") or "")
    step = Copy(
        item,
        stage.source(item, origin) if origin is not None else None,
        tuple(patterns),
        posixpath.normpath(posixpath.join(stage.directory(), target)),
        into,
        _owner(item, stage),
        Mode.parse(mode) if mode else None,
        choice=choice,
        link=_switch(item, "link"),
    )
    if step.source is None:
        groups = tuple(group for pattern in patterns for group in _named(item, stage, pattern, choice))
        if len(groups) > 1 and not into and not choice.parents:
            raise item.wrong(f"{patterns[0]} matches {len(groups)} files", f"write {target}/")
        if item.name == "ADD":
            groups = tuple(_unpacked(item, stage, group) for group in groups)
        fetched = [select.kept(group, choice.exclude) for group in fetched]
        step = replace(step, groups=(*filter(None, groups), *((entry,) for entry in written), *filter(None, fetched)))
    return step


def _owner(item: Instruction, stage: Stage) -> str:
    text = stage.expand(item, item.flag("chown") or "")
    for part in text.split(":"):
        if part.isdecimal() and int(part) >= _NO_ID:
            raise item.wrong(f"--chown={text}: {part} is no number of a user or group")
    return text


def _choice(item: Instruction, stage: Stage) -> select.Choice:
    patterns = tuple(stage.expand(item, value) for name, value in item.flags if name == "exclude")
    Ignore("\n".join(patterns))  # raises ValueError for a malformed one
    return select.Choice(_switch(item, "parents"), patterns)


def _switch(item: Instruction, name: str) -> bool:
    text = item.flag(name)
    if text not in (None, "true", "false"):
        raise item.wrong(f"--{name}={text} is neither true nor false")
    return text == "true"


def _named(item: Instruction, stage: Stage, pattern: str, choice: select.Choice) -> tuple[select.Group, ...]:
    """The files of the context that a source names. Raises NotFoundError for none."""
    found = select.groups(stage.files, pattern, choice)
    if not found:
        hint = "the context is what `build.context` names, without what .dockerignore leaves out"
        raise NotFoundError(f"{item.name}: {pattern} is not in the context", where=item.where, hint=hint)
    return found


def _written(item: Instruction, stage: Stage, words: Sequence[str]) -> tuple[list[Entry], list[str]]:
    """The files that stand in the Dockerfile, and the words that are none."""
    left, own, found = [], list(item.heredocs), []
    for word in words:
        if own and heredoc.of_word(word, item.escape) is not None:
            here = own.pop(0)
            found.append(Entry.written(here.name, here.content(stage.variables(), item.escape)))
        else:
            left.append(word)
    return found, left


def _unpacked(item: Instruction, stage: Stage, group: select.Group) -> select.Group:
    """An archive that is named itself is unpacked, unless ``--unpack=false`` says no."""
    from bayplan.runtime.native.images.build import remote, unpack

    if not group:
        return group
    top = group[0]
    wanted = top.kind == "file" and remote.unpacks(item) is not False
    return (replace(top, kind="archive"),) if wanted and unpack.is_archive(stage.files.open(top)) else group
