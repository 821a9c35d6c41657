"""COPY and ADD lowered to a step: sources looked up, the destination worked out. Reads only."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from bayplan.errors import NotFoundError
from bayplan.runtime.native.images.build import heredoc, remote
from bayplan.runtime.native.images.build.bases import Base
from bayplan.runtime.native.images.build.dockerfile import Instruction
from bayplan.runtime.native.images.build.expand import split
from bayplan.runtime.native.images.build.files import Entry, Files
from bayplan.runtime.native.images.build.steps import Copy
from bayplan.runtime.native.images.build.unpack import is_archive


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
    if item.name == "ADD":
        fetched, words = remote.split(item, stage, words)
        written += fetched
    if not words or len(written) + len(words) < 2:
        raise item.wrong("needs a source and a destination")
    *patterns, target = words
    into = target.endswith("/") or target in (".", "..") or target.endswith("/.")
    if len(patterns) + len(written) > 1 and not into:
        raise item.wrong("with several sources the destination is a directory", f"write {target}/")
    mode = item.flag("chmod")
    if mode and (not set(mode) <= set("01234567") or len(mode) > 5):
        raise item.later(f"--chmod={mode}", "write it in octal")
    origin = item.flag("from")
    if origin and written:
        raise item.wrong("a heredoc and --from exclude each other")
    step = Copy(
        item,
        stage.source(item, origin) if origin is not None else None,
        tuple(patterns),
        posixpath.normpath(posixpath.join(stage.directory(), target)),
        into,
        stage.expand(item, item.flag("chown") or ""),
        int(mode, 8) if mode else None,
    )
    if step.source is None:
        groups = tuple(stage.files.entries(path) for pattern in patterns for path in matches(item, stage, pattern))
        if len(groups) > 1 and not into:
            raise item.wrong(f"{patterns[0]} matches {len(groups)} files", f"write {target}/")
        if item.name == "ADD":
            groups = tuple(_unpacked(item, stage, group) for group in groups)
        step = Copy(**{**vars(step), "groups": (*groups, *((entry,) for entry in written))})
    return step


def matches(item: Instruction, stage: Stage, pattern: str) -> tuple[str, ...]:
    """Paths of the context that a source names. Raises NotFoundError for none."""
    found = tuple(path for path in stage.files.match(pattern) if stage.files.exists(path))
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


def _unpacked(item: Instruction, stage: Stage, group: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """An archive that is named itself is unpacked, unless ``--unpack=false`` says no."""
    top = group[0]
    wanted = top.kind == "file" and remote.unpacks(item) is not False
    return (replace(top, kind="archive"),) if wanted and is_archive(stage.files.open(top)) else group
