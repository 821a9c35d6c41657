"""A Dockerfile lowered to steps: variables replaced, files looked up, configuration worked out. Reads only."""

from __future__ import annotations

import copy
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bayplan.errors import BayplanError, DeclarationError, Location, NotFoundError
from bayplan.models import Build
from bayplan.runtime.native.images.build import config, stages
from bayplan.runtime.native.images.build.bases import Base, Bases
from bayplan.runtime.native.images.build.dockerfile import Instruction, parse
from bayplan.runtime.native.images.build.expand import expand, split
from bayplan.runtime.native.images.build.files import Files, content_key
from bayplan.runtime.native.images.build.ignore import Ignore
from bayplan.runtime.native.images.build.sources import archive_kind, is_url
from bayplan.runtime.native.images.build.steps import (
    Copy,
    Fingerprint,
    MakeDirectory,
    Recipe,
    Run,
    Stage,
    digest_of,
)

EPOCH = "SOURCE_DATE_EPOCH"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
PROXIES = frozenset((*_PROXIES, *(name.lower() for name in _PROXIES)))


def recipe(build: Build, bases: Bases) -> Recipe:
    """Everything the build will do. Raises DeclarationError, NotBuiltYetError, NotFoundError with file and line."""
    text, file, ignore_file = _dockerfile(build)
    instructions = parse(text, file)
    drafts, outer = stages.drafts(instructions, build.args)
    target = stages.target_of(drafts, build.target)
    wanted = stages.needed(drafts, target)
    with Files(_context(build), _ignore(build, ignore_file)) as files:
        lowered: dict[int, _Lowered] = {}
        for position in wanted:
            lowered[position] = _Lowered(position, drafts, lowered, outer, build, bases, files)
            lowered[position].run()
    result = tuple(lowered[position].stage for position in wanted)
    if build.labels:
        result[-1].config["Labels"] = {**(result[-1].config.get("Labels") or {}), **build.labels}
    epoch = _epoch(build.args.get(EPOCH, outer.get(EPOCH, "0")))
    return Recipe(result, epoch, _fingerprint(build, result, instructions, [drafts[item] for item in wanted], epoch))


def _fingerprint(
    build: Build,
    result: Sequence[Stage],
    instructions: Sequence[Instruction],
    drafts: Sequence[stages.Draft],
    epoch: int,
) -> Fingerprint:
    outer = instructions[: instructions.index(next(item for item in instructions if item.name == "FROM"))]
    lines = [*outer, *(item for draft in drafts for item in (draft.head, *draft.body))]
    args = {name: value for name, value in build.args.items() if name not in PROXIES}
    rows = [[item.name, item.text, item.words, item.flags] for item in lines]
    copies = [step for stage in result for step in stage.steps if isinstance(step, Copy)]
    sources = [*(stage.base for stage in result), *(step.source for step in copies)]
    return Fingerprint(
        digest_of([rows, args, build.labels, epoch]),
        digest_of([content_key(step.groups) for step in copies]),
        digest_of([item.digest if isinstance(item, Base) else item for item in sources]),
    )


def _dockerfile(build: Build) -> tuple[str, str, Path | None]:
    if build.dockerfile_inline is not None:
        return build.dockerfile_inline, "dockerfile_inline", None
    path = Path(build.context, build.dockerfile)
    try:
        return path.read_text(), str(path), path.with_name(f"{path.name}.dockerignore")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        hint = "check `build.context` and `build.dockerfile`"
        raise NotFoundError(f"there is no Dockerfile {path}", hint=hint) from error
    except UnicodeDecodeError as error:
        raise DeclarationError("the Dockerfile is not UTF-8 text", where=Location(str(path))) from error


def _context(build: Build) -> Path:
    path = Path(build.context)
    if not path.is_dir():
        raise NotFoundError(f"build context {path} is no directory", hint="check `build.context`")
    return path


def _ignore(build: Build, own: Path | None) -> Ignore:
    """The Dockerfile's own ignore file goes before the context's."""
    for path in (own, Path(build.context, ".dockerignore")):
        if path is not None and path.is_file():
            try:
                return Ignore(path.read_text())
            except ValueError as error:
                raise DeclarationError(str(error), where=Location(str(path))) from error
    return Ignore()


def _epoch(text: str) -> int:
    if not text.isdigit():
        raise DeclarationError(f"{EPOCH}={text!r} is no number of seconds", hint="see reproducible-builds.org")
    return int(text)


class _Lowered:
    """One stage while its instructions are read."""

    def __init__(  # noqa: PLR0917 - called once, in the order of what it needs
        self,
        position: int,
        drafts: Sequence[stages.Draft],
        earlier: dict[int, _Lowered],
        outer: dict[str, str],
        build: Build,
        bases: Bases,
        files: Files,
    ) -> None:
        self.drafts, self.draft, self.earlier = drafts, drafts[position], earlier
        self.outer, self.build, self.bases, self.files = outer, build, bases, files
        self.arguments: dict[str, str] = {}
        self.command_set = False
        self.stage = Stage(position, self.draft.name, self.draft.head.where, *self._start(position))

    def _start(self, position: int) -> tuple[Base | int | None, dict[str, Any]]:
        name = self.draft.base
        other = stages.index_of(self.drafts, name, position) if not name.isdigit() else None
        if other is not None:
            self.arguments = dict(self.earlier[other].arguments)
            return other, copy.deepcopy(self.earlier[other].stage.config)
        if name == "scratch":
            return None, {}
        base = self.bases.get(name, self.draft.head.where)
        found = copy.deepcopy(base.document.get("config") or {})
        if found.get("OnBuild"):
            raise self.draft.head.later(f"ONBUILD of base image {name}")
        return base, found

    def run(self) -> None:
        """Read every instruction. Errors carry the line."""
        for item in self.draft.body:
            before = len(self.stage.steps)
            try:
                self._read(item)
            except ValueError as error:
                raise item.wrong(str(error)) from error
            except BayplanError as error:
                error.where = error.where or item.where
                raise
            self.stage.history.append((str(item), len(self.stage.steps) > before))

    def _read(self, item: Instruction) -> None:
        match item.name:
            case "RUN":
                self._run(item)
            case "COPY" | "ADD":
                self._copy(item)
            case "WORKDIR":
                path = posixpath.normpath(posixpath.join(self._directory(), self._expand(item, item.text)))
                self.stage.config["WorkingDir"] = path
                self.stage.steps.append(MakeDirectory(item, path))
            case "ARG":
                for name, default in stages.arguments(item, self._variables()):
                    value = self.build.args.get(name, default if default is not None else self.outer.get(name))
                    if value is not None:
                        self.arguments[name] = value
            case _:
                self.command_set = config.apply(
                    item, self.stage.config, lambda text: self._expand(item, text), self._variables(), self.command_set
                )

    def _variables(self) -> dict[str, str]:
        """ENV goes over ARG of the same name."""
        return {**self.arguments, **self._env()}

    def _env(self) -> dict[str, str]:
        return dict(entry.partition("=")[::2] for entry in self.stage.config.get("Env") or ())

    def _expand(self, item: Instruction, text: str) -> str:
        return expand(text, self._variables(), item.escape)

    def _directory(self) -> str:
        return str(self.stage.config.get("WorkingDir") or "/")

    def _run(self, item: Instruction) -> None:
        shell = self.stage.config.get("Shell") or config.SHELL
        variables = self._variables()
        hidden = {name: value for name, value in self.build.args.items() if name in PROXIES and name not in variables}
        self.stage.steps.append(
            Run(
                item,
                item.words if item.words is not None else (*shell, item.text),
                tuple(f"{key}={value}" for key, value in variables.items()),
                tuple(f"{key}={value}" for key, value in hidden.items()),
                str(self.stage.config.get("User") or ""),
                self._directory(),
            )
        )

    def _copy(self, item: Instruction) -> None:
        words = list(item.words) if item.words is not None else split(item.text, item.escape)
        words = [self._expand(item, word) for word in words]
        if len(words) < 2:
            raise item.wrong("needs a source and a destination")
        *patterns, target = words
        into = target.endswith("/") or target in (".", "..") or target.endswith("/.")
        if len(patterns) > 1 and not into:
            raise item.wrong("with several sources the destination is a directory", f"write {target}/")
        for pattern in patterns if item.name == "ADD" else ():
            if is_url(pattern):
                raise item.later(f"the URL {pattern}", "fetch it in a RUN, or copy a file")
        mode = item.flag("chmod")
        if mode and (not set(mode) <= set("01234567") or len(mode) > 5):
            raise item.later(f"--chmod={mode}", "write it in octal")
        step = Copy(
            item,
            self._source(item),
            tuple(patterns),
            posixpath.normpath(posixpath.join(self._directory(), target)),
            into,
            self._expand(item, item.flag("chown") or ""),
            int(mode, 8) if mode else None,
        )
        if step.source is None:
            groups = tuple(self.files.entries(path) for pattern in patterns for path in self._matches(item, pattern))
            if len(groups) > 1 and not into:
                raise item.wrong(f"{patterns[0]} matches {len(groups)} files", f"write {target}/")
            if item.name == "ADD":
                self._refuse_archives(item, step, groups)
            step = Copy(**{**vars(step), "groups": groups})
        self.stage.steps.append(step)

    def _matches(self, item: Instruction, pattern: str) -> tuple[str, ...]:
        found = tuple(path for path in self.files.match(pattern) if self.files.exists(path))
        if not found:
            hint = "the context is what `build.context` names, without what .dockerignore leaves out"
            raise NotFoundError(f"{item.name}: {pattern} is not in the context", where=item.where, hint=hint)
        return found

    def _refuse_archives(self, item: Instruction, step: Copy, groups: Sequence[Any]) -> None:
        for entry in (group[0] for group in groups if group[0].kind == "file"):
            kind = archive_kind(self.files.open(entry))
            if kind:
                raise item.later(f"unpacking {entry.at} ({kind})", "COPY it and unpack it in a RUN")

    def _source(self, item: Instruction) -> int | Base | None:
        name = item.flag("from")
        if name is None:
            return None
        other = stages.index_of(self.drafts, name, self.stage.index)
        if other is not None:
            return other
        if name.isdigit():
            raise item.wrong(f"there is no stage {name} before this one")
        return self.bases.get(name, item.where)
