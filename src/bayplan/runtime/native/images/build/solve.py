"""Carries a recipe out: each step from the cache, or done in a workspace of its own and kept."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bayplan.errors import BayplanError, RuntimeFailureError
from bayplan.runtime.native.images.build import copy, layer, select
from bayplan.runtime.native.images.build.assemble import Documents, Tree, assemble
from bayplan.runtime.native.images.build.bases import Base
from bayplan.runtime.native.images.build.cache import Cache, Made
from bayplan.runtime.native.images.build.executor import Command, Executor, Given, Workspace
from bayplan.runtime.native.images.build.files import Entry, Files, content_key
from bayplan.runtime.native.images.build.lower import EPOCH
from bayplan.runtime.native.images.build.steps import (
    Copy,
    MakeDirectory,
    Recipe,
    Run,
    Stage,
    Step,
    digest_of,
    origins,
)
from bayplan.runtime.native.images.build.urls import Urls
from bayplan.runtime.native.images.layers import Layers
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.native.images.stored import ImageConfig, StoredImage
from bayplan.runtime.protocol import Progress, Report
from bayplan.system import mounts, namespaces, trees

_FORMAT = 1
"""Counts up when the same step would give another layer than before: older results are no longer taken."""
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Room:
    """The places a build works with."""

    store: ImageStore
    layers: Layers
    cache: Cache
    workspaces: Path


@dataclass
class Build:
    """One build of the image ``name``."""

    room: Room
    recipe: Recipe
    name: str
    context: Path
    executor: Executor | None = None
    urls: Urls | None = None
    use_cache: bool = True
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    ssh: Mapping[str, str] = field(default_factory=dict)

    def predict(self) -> str | None:
        """The digest the image will have, when every step is in the cache. Reads only."""
        if self.recipe.unknown:
            return None
        trees: dict[int, Tree] = {}
        for stage in self.recipe.stages:
            tree = self._start(stage, trees)
            for step in stage.steps:
                made = self._cached(self._key(step, tree, trees))
                if made is None:
                    return None
                tree = self._grown(tree, made)
            trees[stage.index] = tree
        return assemble(self.recipe, trees).digest

    def run(self, report: Report) -> Documents:
        """Do what is not in the cache. Raises RuntimeFailureError naming file, line and instruction."""
        trees: dict[int, Tree] = {}
        used: set[str] = set()
        total, number = sum(len(stage.steps) for stage in self.recipe.stages), 0
        for stage in self.recipe.stages:
            tree = self._start(stage, trees)
            for step in stage.steps:
                number += 1
                title = f"step {number}/{total} {step.instruction.title}"
                keys = [self._key(step, tree, trees)]
                made = self._cached(keys[0]) if self.use_cache else None
                if made is None and isinstance(step, Copy) and step.source is not None:
                    # The stage is another, but what is copied from it may be the same.
                    keys.append(self._content_key(step, tree, trees))
                    made = self._cached(keys[1]) if self.use_cache else None
                report(Progress(f"image {self.name}", message=title + (" (cached)" if made else "")))
                if made is None:
                    made = self._do(step, tree, trees)
                for key in keys:
                    self.room.cache.put(self.name, key, made)
                used.update(keys)
                tree = self._grown(tree, made)
            trees[stage.index] = tree
        self.room.cache.finish(self.name, used)
        return assemble(self.recipe, trees)

    # -- keys --------------------------------------------------------------------------------------------------

    def _start(self, stage: Stage, trees: dict[int, Tree]) -> Tree:
        if stage.base is None:
            return Tree()
        return _tree(stage.base) if isinstance(stage.base, Base) else trees[stage.base].over()

    def _key(self, step: Step, tree: Tree, trees: dict[int, Tree]) -> str:
        chains = [_source(source, trees).chain for source in origins(step)]
        return digest_of(
            [_FORMAT, self.recipe.epoch, _below(step, tree), step.material(), chains[0] if chains else "", *chains[1:]]
        )

    def _content_key(self, step: Copy, tree: Tree, trees: dict[int, Tree]) -> str:
        with self._workspace() as place:
            lowers = self._lowers(_source(step.source, trees), place)

            def read() -> str:
                _show(lowers, place.source)
                with Files(place.source, foreign=True) as files:
                    return content_key(_groups(files, step))

            files_key = namespaces.in_private_mounts(read)
        return digest_of([_FORMAT, self.recipe.epoch, _below(step, tree), step.material(), "files", files_key])

    def _cached(self, key: str) -> Made | None:
        made = self.room.cache.get(key)
        if made is None or (made.diff_id and not self.room.store.blob(made.digest).exists()):
            return None
        return made

    @staticmethod
    def _grown(tree: Tree, made: Made) -> Tree:
        return tree.add(made.diff_id, made.layer if made.diff_id else None)

    # -- steps -------------------------------------------------------------------------------------------------

    def _do(self, step: Step, tree: Tree, trees: dict[int, Tree]) -> Made:
        with self._workspace() as place:
            try:
                alone = isinstance(step, Copy) and step.is_independent
                lowers = (place.empty,) if alone else self._lowers(tree, place)
                if isinstance(step, Run):
                    self._run(step, lowers, place, self._given(step, place, trees))
                else:
                    self._files(step, lowers, place, trees)
                return self._keep(step, tree, place)
            except BayplanError as error:
                error.where = error.where or step.instruction.where
                raise

    def _given(self, step: Run, place: Workspace, trees: dict[int, Tree]) -> tuple[Given, ...]:
        """The mounts of a command with their files; the context is copied, so that only what it may see is there."""
        found = []
        for number, item in enumerate(step.mounts):
            if item.origin is not None:
                tree = _source(item.origin, trees)
                found.append(Given(item, self._lowers(tree, place), tree.chain))
            elif item.group:
                top = place.path / f"context-{number}"
                top.mkdir(mode=0o755)
                inside = "" if item.group[0].kind == "directory" else "file"
                root = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    with Files(self.context) as files:
                        copy.copy(files, [item.group], copy.Target(root, f"/{inside}", False, (0, 0), None, 0))
                finally:
                    os.close(root)
                found.append(Given(item, directory=top, inside=inside))
            else:
                found.append(Given(item))
        return tuple(found)

    def _run(self, step: Run, lowers: Sequence[Path], place: Workspace, given: tuple[Given, ...]) -> None:
        if self.executor is None:
            raise RuntimeFailureError("nothing is here that could run a command")
        stamp = (
            ()
            if any(entry.startswith(f"{EPOCH}=") for entry in step.environment)
            else (f"{EPOCH}={self.recipe.epoch}",)
        )
        environment = (*step.environment, *step.hidden, *stamp)
        command = Command(
            step.arguments,
            environment,
            step.user,
            step.working_dir,
            tuple(lowers),
            step.script,
            given,
            step.network,
            self.secrets,
            self.ssh,
        )
        done = self.executor.run(command, place)
        if done.exit_code:
            raise RuntimeFailureError(
                f"image {self.name}: {step.instruction.title} ended with exit code {done.exit_code}",
                where=step.instruction.where,
                output="\n".join(done.lines),
            )

    def _files(
        self, step: Copy | MakeDirectory, lowers: Sequence[Path], place: Workspace, trees: dict[int, Tree]
    ) -> None:
        source = None
        if isinstance(step, Copy) and step.source is not None:
            source = self._lowers(_source(step.source, trees), place)
        owner = self._owner(step, lowers) if isinstance(step, Copy) else (0, 0)

        def work() -> None:
            # A linked layer must hold nothing that depends on those below, as overlayfs would write it.
            top = place.upper if isinstance(step, Copy) and step.link else place.root
            if top == place.root:
                mounts.mount_overlay(lowers, place.upper, place.work, place.root)
            root = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if isinstance(step, MakeDirectory):
                    os.close(copy.make_directories(root, step.path))
                    return
                target = copy.Target(
                    root, step.target, step.into, owner, step.chmod, self.recipe.epoch, owner if step.chown else None
                )
                if source is None:
                    with Files(self.context, urls=self.urls) as files:
                        copy.copy(files, step.groups, target)
                    return
                _show(source, place.source)
                with Files(place.source, foreign=True) as files:
                    copy.copy(files, _groups(files, step), target)
            finally:
                os.close(root)

        namespaces.in_private_mounts(work)

    def _owner(self, step: Copy, lowers: Sequence[Path]) -> tuple[int, int] | None:
        if not step.chown:
            return None if step.source is not None else (0, 0)
        user, colon, group = step.chown.partition(":")
        if user.isdigit() and (not colon or group.isdigit()):
            return int(user), int(group or user)
        if self.executor is None:
            raise RuntimeFailureError("nothing is here that could look up users")
        return self.executor.owner(step.chown, lowers)

    def _keep(self, step: Step, tree: Tree, place: Workspace) -> Made:
        archive = place.path / "layer"
        packed = layer.pack(place.upper, archive, self.recipe.epoch)
        if packed.is_empty and isinstance(step, MakeDirectory):
            return Made(tree.chain)
        made = Made(tree.chain, packed.diff_id, packed.digest, packed.size)
        made = replace(made, chain=self._grown(tree, made).chain)
        if not self.room.store.blob(packed.digest).exists():
            self.room.store.write(packed.digest, _chunks(archive))
        self.room.layers.adopt(made.chain, place.upper)
        return made

    # -- places ------------------------------------------------------------------------------------------------

    @contextmanager
    def _workspace(self) -> Iterator[Workspace]:
        name = secrets.token_hex(32)
        place = Workspace(name, self.room.workspaces / name)
        for directory in (place.path, place.upper, place.work, place.root, place.source, place.empty):
            directory.mkdir(parents=True, mode=0o755 if directory in (place.upper, place.empty) else 0o700)
        place.upper.chmod(0o755)
        try:
            yield place
        finally:
            trees.remove(place.path)

    def _lowers(self, tree: Tree, place: Workspace) -> tuple[Path, ...]:
        image = StoredImage("", ImageConfig(), tree.diff_ids, tree.layers, 0)
        return self.room.layers.ensure(image, self.room.store) or (place.empty,)


def _tree(base: Base) -> Tree:
    return Tree(base.diff_ids, base.layers)


def _below(step: Step, tree: Tree) -> str:
    """What the result of a step depends on below it."""
    return "" if isinstance(step, Copy) and step.is_independent else tree.chain


def _source(source: Base | int | None, trees: dict[int, Tree]) -> Tree:
    return _tree(source) if isinstance(source, Base) else trees[int(source or 0)]


def _show(lowers: Sequence[Path], target: Path) -> None:
    """A stage, read-only."""
    mounts.mount_overlay(lowers, None, None, target)


def _groups(files: Files, step: Copy) -> tuple[tuple[Entry, ...], ...]:
    found: list[select.Group] = []
    for pattern in step.patterns:
        try:
            named = select.groups(files, pattern, step.choice)
        except ValueError as error:
            raise RuntimeFailureError(str(error)) from error
        if not named:
            where = f"stage {step.source}" if isinstance(step.source, int) else "the image it is copied from"
            raise RuntimeFailureError(f"COPY: {pattern} is not in {where}", where=step.instruction.where)
        found += named
    if len(found) > 1 and not step.into and not step.choice.parents:
        raise RuntimeFailureError(f"COPY: the sources are {len(found)} files", hint=f"write {step.target}/")
    return tuple(filter(None, found))


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
