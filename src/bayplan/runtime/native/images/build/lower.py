"""A Dockerfile lowered to steps: variables replaced, files looked up, configuration worked out. Reads only."""

from __future__ import annotations

import copy
import os
import posixpath
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bayplan.errors import BayplanError, DeclarationError, Location, NotFoundError, RuntimeFailureError
from bayplan.models import Build
from bayplan.runtime.dockerfile.expand import expand
from bayplan.runtime.dockerfile.ignore import Ignore
from bayplan.runtime.dockerfile.instructions import Instruction, notes, parse, trigger
from bayplan.runtime.native.images.build import config, copies, platforms, runs, stages
from bayplan.runtime.native.images.build.bases import Base, Bases
from bayplan.runtime.native.images.build.files import Entry, Files, content_key
from bayplan.runtime.native.images.build.repositories import Repositories, beneath
from bayplan.runtime.native.images.build.stats import Stats
from bayplan.runtime.native.images.build.steps import (
    Copy,
    Fingerprint,
    MakeDirectory,
    Recipe,
    Run,
    Stage,
    Step,
    digest_of,
    origins,
)
from bayplan.runtime.native.images.build.urls import Urls

EPOCH = "SOURCE_DATE_EPOCH"
_EPOCH_DIGITS = 11  # the year 5138; from 10000 on there is no date in an image's configuration (RFC 3339)


def recipe(
    build: Build,
    bases: Bases,
    urls: Urls | None = None,
    platform: str | None = None,
    *,
    stats: Stats | None = None,
    repositories: Repositories | None = None,
    label: str = "",
) -> Recipe:
    """Everything the build will do; without ``urls`` no content of a URL is known. ``platform`` is the image's.

    ``label`` says where the context is from when it is somebody else's: then no link in it leads out. Raises
    DeclarationError, NotBuiltYetError, NotFoundError with file and line.
    """
    text, file, ignore_file = _dockerfile(build, label)
    instructions = parse(text, file)
    wished = _platform(platform)
    drafts, outer = stages.drafts(instructions, build.args, wished)
    target = stages.target_of(drafts, build.target)
    lowered: dict[int, _Lowered] = {}
    ignored = _ignore(build, ignore_file, label)
    with Files(_context(build), ignored, urls=urls, stats=stats, repositories=repositories) as files:

        def need(position: int) -> _Lowered:
            """A stage, read when the target or a stage that it needs asks for it."""
            if position not in lowered:
                found = _Lowered(position, drafts, need, outer, build, bases, files, wished)
                found.run()
                lowered[position] = found
            return lowered[position]

        need(target)
    wanted = sorted(lowered)
    result = tuple(lowered[position].stage for position in wanted)
    if build.labels:
        result[-1].config["Labels"] = {**(result[-1].config.get("Labels") or {}), **build.labels}
    epoch = _epoch(build.args.get(EPOCH, outer.get(EPOCH, "0")))
    fingerprint = _fingerprint(build, wished, result, instructions, [drafts[item] for item in wanted], epoch)
    return Recipe(result, epoch, fingerprint, notes(text, instructions, file))


def _platform(text: str | None) -> str:
    """The platform that is asked for; empty for the host's own."""
    try:
        found = platforms.parse(text) if text else ""
    except ValueError as error:
        raise DeclarationError(str(error), hint="such as linux/arm64") from error
    return "" if found == platforms.host() else found


def _fingerprint(  # noqa: PLR0917 - called once, with all that counts
    build: Build,
    platform: str,
    result: Sequence[Stage],
    instructions: Sequence[Instruction],
    drafts: Sequence[stages.Draft],
    epoch: int,
) -> Fingerprint:
    outer = instructions[: instructions.index(next(item for item in instructions if item.name == "FROM"))]
    lines = [*outer, *(item for draft in drafts for item in (draft.head, *draft.body))]
    args = {name: value for name, value in build.args.items() if name not in runs.PROXIES}
    rows = [[item.name, item.text, item.words, item.flags, [vars(own) for own in item.heredocs]] for item in lines]
    steps = [step for stage in result for step in stage.steps]
    sources = [*(stage.base for stage in result), *(source for step in steps for source in origins(step))]
    groups = [groups for step in steps for groups in _groups(step)]
    fetched = [group for item in groups for group in item if group and group[0].url]
    of_context = [tuple(group for group in item if not (group and group[0].url)) for item in groups]
    return Fingerprint(
        digest_of([rows, args, build.labels, epoch, *([platform] if platform else []), *_asked(build)]),
        digest_of([content_key(item) for item in of_context]),
        digest_of(
            [item.digest if isinstance(item, Base) else item for item in sources]
            + [content_key([group]) for group in fetched]
        ),
        has_urls=bool(fetched),
    )


def _asked(build: Build) -> list[Any]:
    """What of the network commands see; nothing when all is as usual."""
    found = [build.network, build.extra_hosts]
    return [found] if found != ["default", {}] else []


def _groups(step: Step) -> list[tuple[tuple[Entry, ...], ...]]:
    """What a step takes from the context."""
    if isinstance(step, Run):
        return [(item.group,) for item in step.mounts if item.group]
    return [step.groups] if isinstance(step, Copy) else []


def _dockerfile(build: Build, label: str) -> tuple[str, str, Path | None]:
    if build.dockerfile_inline is not None:
        return build.dockerfile_inline, "dockerfile_inline", None
    path = Path(build.context, build.dockerfile)
    named = f"{label} {build.dockerfile}" if label else str(path)
    try:
        ignore = path.with_name(f"{path.name}.dockerignore")
        if label:
            path = beneath(Path(build.context), build.dockerfile, f"there is no {build.dockerfile} in {label}")
        return path.read_text(), named, ignore
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        hint = "check `build.context` and `build.dockerfile`"
        raise NotFoundError(f"there is no Dockerfile {named}", hint=hint) from error
    except UnicodeDecodeError as error:
        raise DeclarationError("the Dockerfile is not UTF-8 text", where=Location(named)) from error


def _context(build: Build) -> Path:
    path = Path(build.context)
    if not path.is_dir():
        raise NotFoundError(f"build context {path} is no directory", hint="check `build.context`")
    return path


def _ignore(build: Build, own: Path | None, label: str) -> Ignore:
    """The Dockerfile's own ignore file goes before the context's."""
    for path in (own, Path(build.context, ".dockerignore")):
        found = _inside(build, path) if path and label else path
        if found is not None and found.is_file():
            try:
                return Ignore(found.read_text())
            except ValueError as error:
                raise DeclarationError(str(error), where=Location(str(path))) from error
    return Ignore()


def _inside(build: Build, path: Path) -> Path | None:
    """A file of somebody else's context, by no link that leads out of it."""
    try:
        return beneath(Path(build.context), os.path.relpath(path, build.context), "")
    except NotFoundError:
        return None


def _epoch(text: str) -> int:
    if not text.isdecimal() or len(text) > _EPOCH_DIGITS:
        raise DeclarationError(f"{EPOCH}={text!r} is no number of seconds", hint="see reproducible-builds.org")
    return int(text)


class _Lowered:
    """One stage while its instructions are read."""

    def __init__(  # noqa: PLR0917 - called once, in the order of what it needs
        self,
        position: int,
        drafts: Sequence[stages.Draft],
        need: Callable[[int], _Lowered],
        outer: dict[str, str],
        build: Build,
        bases: Bases,
        files: Files,
        platform: str,
    ) -> None:
        self.drafts, self.draft, self.need = drafts, drafts[position], need
        self.outer, self.build, self.bases, self.files = outer, build, bases, files
        self.arguments: dict[str, str] = {}
        self.command_set = False
        self.author = ""
        self.wished = platform
        self.stage = Stage(position, self.draft.name, self.draft.head.where, *self._start(position))
        self.stage.platform = self.platform
        self.triggers = [trigger(text, self.draft.head.where) for text in self.stage.config.pop("OnBuild", None) or ()]

    def _start(self, position: int) -> tuple[Base | int | None, dict[str, Any]]:
        name = self.draft.base
        other = stages.index_of(self.drafts, name, position) if not name.isdecimal() else None
        if other is not None:
            below = self.need(other)
            self.arguments = dict(below.arguments)
            self.author, self.platform = below.stage.author, self.draft.platform or below.stage.platform
            return other, copy.deepcopy(below.stage.config)
        wanted = self.draft.platform or self.wished
        if name == "scratch":
            self.platform = wanted or platforms.host()
            return None, {}
        base = self.bases.get(name, self.draft.head.where, wanted)
        self.platform = platforms.of(base.document)
        self.author = str(base.document.get("author") or "")
        return base, copy.deepcopy(base.document.get("config") or {})

    def run(self) -> None:
        """Read every instruction, those that the base keeps for this first. Errors carry the line."""
        for item in (*self.triggers, *self.draft.body):
            before = len(self.stage.steps)
            try:
                self._read(item)
            except ValueError as error:
                raise item.wrong(str(error)) from error
            except BayplanError as error:
                error.where = error.where or item.where
                raise
            except OSError as error:
                raise RuntimeFailureError(f"{item.title}: {error}", where=item.where) from error
            self.stage.history.append((str(item), len(self.stage.steps) > before))
        self.stage.author = self.author

    def _read(self, item: Instruction) -> None:
        match item.name:
            case "RUN":
                self.stage.steps.append(runs.lower(item, self))
            case "COPY" | "ADD":
                self.stage.steps.append(copies.lower(item, self))
            case "WORKDIR":
                path = posixpath.normpath(posixpath.join(self.directory(), self.expand(item, item.text)))
                self.stage.config["WorkingDir"] = path
                self.stage.steps.append(MakeDirectory(item, path, str(self.stage.config.get("User") or "")))
            case "ARG":
                for name, default in stages.arguments(item, self.variables()):
                    value = self.build.args.get(name, default if default is not None else self.outer.get(name))
                    if value is not None:
                        self.arguments[name] = value
            case "MAINTAINER":
                self.author = self.expand(item, item.text)
            case _:
                self.command_set = config.apply(
                    item, self.stage.config, lambda text: self.expand(item, text), self.variables(), self.command_set
                )

    def variables(self) -> dict[str, str]:
        """What instructions may use: ENV goes over ARG of the same name."""
        return {**self.arguments, **self._env()}

    def _env(self) -> dict[str, str]:
        return dict(entry.partition("=")[::2] for entry in self.stage.config.get("Env") or ())

    def expand(self, item: Instruction, text: str) -> str:
        """A word with its variables replaced. Raises ValueError."""
        return expand(text, self.variables(), item.escape)

    def directory(self) -> str:
        """The working directory so far."""
        return str(self.stage.config.get("WorkingDir") or "/")

    def source(self, item: Instruction, name: str) -> int | Base:
        """The stage or image of a ``from``. Raises DeclarationError, NotFoundError."""
        other = stages.index_of(self.drafts, name, self.stage.index)
        if other is not None:
            self.need(other)
            return other
        if name.isdecimal():
            raise item.wrong(f"there is no stage {name} before this one")
        return self.bases.get(name, item.where, self.wished)
