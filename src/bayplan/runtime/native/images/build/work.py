"""How one step of a build is done: in a workspace of its own, on the layers so far; its layer is kept."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from bayplan.errors import BayplanError, NotFoundError, RuntimeFailureError
from bayplan.runtime.native.images.build import copy, select
from bayplan.runtime.native.images.build.assemble import Tree
from bayplan.runtime.native.images.build.cache import Made
from bayplan.runtime.native.images.build.executor import Command, Given, Workspace
from bayplan.runtime.native.images.build.files import Entry, Files, content_key
from bayplan.runtime.native.images.build.lower import EPOCH
from bayplan.runtime.native.images.build.pending import Pending
from bayplan.runtime.native.images.build.solve import Build, source_tree, whole
from bayplan.runtime.native.images.build.steps import Copy, MakeDirectory, Run, Step, origins
from bayplan.runtime.native.images.stored import ImageConfig, StoredImage, chain_ids
from bayplan.system import mounts, namespaces
from bayplan.system import trees as removal

Trees = Callable[[int], Tree]


class Work:
    """The steps of one build, in as many threads as it has stages."""

    def __init__(self, build: Build) -> None:
        self.build, self.room, self.recipe = build, build.room, build.recipe
        self.pending = Pending(build.room.store, build.room.layers, build.room.cache)
        self.stopped = threading.Event()
        """Set when nothing more is to be done, what runs included."""
        self._turns = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pending.close()

    def do(self, step: Step, tree: Tree, trees: Trees, keys: Sequence[str]) -> Made:
        """Do it. Raises RuntimeFailureError naming file, line and instruction."""
        with self._turns:
            self.pending.commit_if_due()
            return self._do(step, tree, trees, keys)

    def _do(self, step: Step, tree: Tree, trees: Trees, keys: Sequence[str]) -> Made:
        needed = [source_tree(source, trees) for source in origins(step)]
        alone = isinstance(step, Copy) and step.is_independent
        may_be_none = isinstance(step, MakeDirectory)
        try:
            self._unpack(*needed, *([] if alone else [tree]))
            with self._workspace() as place, self.pending.in_use():
                sources = [self._lowers(item, place) for item in needed]
                lowers = (place.empty,) if alone else self._lowers(tree, place)
                if isinstance(step, Run):
                    chains = [item.chain for item in needed]
                    self._run(step, lowers, place, self._given(step, place, sources, chains))
                else:
                    self._files(step, lowers, place, sources[0] if sources else None)
                return self.pending.add(
                    self.build.name, keys, tree, place.upper, self.recipe.epoch, may_be_none=may_be_none
                )
        except BayplanError as error:
            error.where = error.where or step.instruction.where
            raise
        except OSError as error:
            raise RuntimeFailureError(f"{step.instruction.title}: {error}", where=step.instruction.where) from error

    def content(self, step: Copy, trees: Trees) -> str:
        """A digest of the files that are copied from a stage or an image."""
        tree = source_tree(step.source, trees)
        self._unpack(tree)
        with self._workspace() as place, self.pending.in_use():
            below = self._lowers(tree, place)

            def read() -> str:
                _show(below, place.source)
                with Files(place.source, foreign=True) as files:
                    return content_key(_groups(files, step))

            return namespaces.in_private_mounts(read)

    def _given(
        self, step: Run, place: Workspace, sources: Sequence[tuple[Path, ...]], chains: Sequence[str]
    ) -> tuple[Given, ...]:
        """The mounts of a command with their files; the context is copied, so that only what it may see is there."""
        found = []
        of_origins = zip(sources, chains, strict=True)
        for number, item in enumerate(step.mounts):
            if item.origin is not None:
                found.append(Given(item, *next(of_origins)))
            elif item.group:
                top = place.path / f"context-{number}"
                top.mkdir(mode=0o755)
                inside = "" if item.group[0].kind == "directory" else "file"
                root = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    with Files(self.build.context) as files:
                        copy.copy(files, [item.group], copy.Target(root, f"/{inside}", False, (0, 0), None, 0))
                finally:
                    os.close(root)
                found.append(Given(item, directory=top, inside=inside))
            else:
                found.append(Given(item))
        return tuple(found)

    def _run(self, step: Run, lowers: Sequence[Path], place: Workspace, given: tuple[Given, ...]) -> None:
        if self.build.executor is None:
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
            step.insecure,
            self.build.secrets,
            self.build.ssh,
            step.hosts,
            self.build.shm_size,
            self.build.ulimits,
            self.stopped.is_set,
        )
        done = self.build.executor.run(command, place)
        if done.exit_code:
            raise RuntimeFailureError(
                f"image {self.build.name}: {step.instruction.title} ended with exit code {done.exit_code}",
                where=step.instruction.where,
                output="\n".join(done.lines),
            )

    def _files(
        self,
        step: Copy | MakeDirectory,
        lowers: Sequence[Path],
        place: Workspace,
        source: Sequence[Path] | None,
    ) -> None:
        owner = self._owner(step, lowers)

        def work() -> None:
            # A linked layer must hold nothing that depends on those below, as overlayfs would write it.
            top = place.upper if isinstance(step, Copy) and step.link else place.root
            if top == place.root:
                mounts.mount_overlay(lowers, place.upper, place.work, place.root)
            root = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if isinstance(step, MakeDirectory):
                    os.close(copy.make_directories(root, step.path, owner or (0, 0)))
                    return
                target = copy.Target(
                    root, step.target, step.into, owner, step.chmod, self.recipe.epoch, owner if step.chown else None
                )
                if source is None:
                    with Files(self.build.context, urls=self.build.urls) as files:
                        copy.copy(files, step.groups, target)
                    return
                _show(source, place.source)
                with Files(place.source, foreign=True) as files:
                    copy.copy(files, _groups(files, step), target)
            finally:
                os.close(root)

        namespaces.in_private_mounts(work)

    def _owner(self, step: Copy | MakeDirectory, lowers: Sequence[Path]) -> tuple[int, int] | None:
        """Whose the files become; None for those that they have in the stage they are from."""
        if isinstance(step, Copy):
            if step.chown:
                return self._numbers(step.chown, lowers)
            return None if step.source is not None else (0, 0)
        try:
            return self._numbers(step.user, lowers) if step.user else (0, 0)
        except NotFoundError:  # as with BuildKit: the first command that runs as that user says so
            return 0, 0

    def _numbers(self, spelling: str, lowers: Sequence[Path]) -> tuple[int, int]:
        user, colon, group = spelling.partition(":")
        if user.isdecimal() and (not colon or group.isdecimal()):
            return int(user), int(group or user)
        if self.build.executor is None:
            raise RuntimeFailureError("nothing is here that could look up users")
        return self.build.executor.owner(spelling, lowers)

    # -- places ------------------------------------------------------------------------------------------------

    @contextmanager
    def _workspace(self) -> Iterator[Workspace]:
        name = secrets.token_hex(32)
        place = Workspace(name, self.room.workspaces / name)
        place.path.mkdir(parents=True, mode=0o700)
        try:
            for directory in (place.upper, place.work, place.root, place.source, place.empty):
                directory.mkdir(mode=0o755 if directory in (place.upper, place.empty) else 0o700)
            place.upper.chmod(0o755)
            yield place
        finally:
            removal.remove(place.path)

    def _unpack(self, *trees: Tree) -> None:
        """See that all their layers are here as directories."""
        for tree in trees:
            if all(map(self._is_here, chain_ids(tree.diff_ids))):
                continue
            # One that is not, above one of this build: with --link, or out of the cache.
            self.pending.commit()
            image = StoredImage("", ImageConfig(), tree.diff_ids, whole(tree, self.pending.finished).layers, 0)
            self.room.layers.ensure(image, self.room.store)

    def _is_here(self, chain: str) -> bool:
        return self.pending.path(chain) is not None or self.room.layers.path(chain).is_dir()

    def _lowers(self, tree: Tree, place: Workspace) -> tuple[Path, ...]:
        """The directories of an overlay, topmost first."""
        paths = [self.pending.path(chain) or self.room.layers.path(chain) for chain in chain_ids(tree.diff_ids)]
        return tuple(reversed(paths)) or (place.empty,)


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
