"""What of a recipe is in the cache already, and carrying out what is not: stages side by side, each step kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bayplan.errors import StoppedError
from bayplan.models.limits import Ulimit
from bayplan.runtime.native.images.build.assemble import Documents, Tree, assemble
from bayplan.runtime.native.images.build.bases import Base
from bayplan.runtime.native.images.build.cache import Cache, Made
from bayplan.runtime.native.images.build.steps import Copy, Recipe, Stage, Step, digest_of, origins
from bayplan.runtime.native.images.build.urls import Urls
from bayplan.runtime.native.images.layers import Layers
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.native.images.stored import chain_ids
from bayplan.runtime.protocol import Progress, Report

if TYPE_CHECKING:
    from bayplan.runtime.native.images.build.executor import Executor
    from bayplan.runtime.native.images.build.work import Work

_FORMAT = 2
"""Counts up when the same step would give another layer than before: older results are no longer taken."""


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
    shm_size: int | None = None
    ulimits: Mapping[str, Ulimit] = field(default_factory=dict)
    bring: Callable[[Base], None] = lambda _: None
    """Sees that a base image is here."""
    used: set[str] = field(default_factory=set)
    """Keys of the steps that the image is made of, once it has run."""

    def predict(self) -> str | None:
        """The digest the image will have, when every step is in the cache. Reads only."""
        if self.recipe.unknown:
            return None
        trees: dict[int, Tree] = {}
        for stage in self.recipe.stages:
            tree = start(stage, trees.__getitem__)
            for step in stage.steps:
                made = self.cached(self.key(step, tree, trees.__getitem__))
                if made is None:
                    return None
                tree = grown(tree, made)
            trees[stage.index] = tree
        return assemble(self.recipe, trees).digest

    def run(self, report: Report) -> Documents:
        """Do what is not in the cache. Raises RuntimeFailureError naming file, line and instruction.

        Each stage has a thread, and waits for another where it needs its files. The first failure stops the others.
        """
        from bayplan.runtime.native.images.build.work import Work

        stages = self.recipe.stages
        with Work(self) as work:
            run = _Run(self, work, report)
            with ThreadPoolExecutor(len(stages), thread_name_prefix="stage") as pool:
                jobs = {pool.submit(run.stage, stage): stage for stage in stages}
                try:
                    done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
                    failed = [job for job in done if job.exception() is not None]
                finally:
                    # Also when this thread is interrupted; without a failure every stage has ended.
                    run.stopped.set()
                    run.release()
            for job in failed:
                job.result()
            work.pending.commit()
            trees = {index: whole(job.result(), work.pending.finished) for index, job in run.trees.items()}
        self.used = run.used
        return assemble(self.recipe, trees)

    # -- keys --------------------------------------------------------------------------------------------------

    def key(self, step: Step, tree: Tree, trees: Callable[[int], Tree]) -> str:
        """What a step's result is found by."""
        chains = [source_tree(source, trees).chain for source in origins(step)]
        rest = [step.material(), chains[0] if chains else "", *chains[1:]]
        return digest_of([_FORMAT, self.recipe.epoch, below(step, tree), *rest])

    def content_key(self, step: Copy, tree: Tree, files: str) -> str:
        """The same by what the files hold that are copied; the stage they are from may be another."""
        return digest_of([_FORMAT, self.recipe.epoch, below(step, tree), step.material(), "files", files])

    def cached(self, key: str) -> Made | None:
        """The result of an earlier build."""
        made = self.room.cache.get(key)
        if made is None or (made.diff_id and not self.room.store.blob(made.digest).exists()):
            return None
        return made


class _Run:
    """The stages of one build while they are carried out."""

    def __init__(self, build: Build, work: Work, report: Report) -> None:
        self.build, self.work, self.report = build, work, report
        self.trees: dict[int, Future[Tree]] = {stage.index: Future() for stage in build.recipe.stages}
        self.used: set[str] = set()
        self.stopped = work.stopped
        counts = [len(stage.steps) for stage in build.recipe.stages]
        self._total = sum(counts)
        self._first = {stage.index: sum(counts[:at]) for at, stage in enumerate(build.recipe.stages)}

    def stage(self, stage: Stage) -> None:
        """One stage from its begin to its end; it then stands in ``trees``."""
        build = self.build
        if isinstance(stage.base, Base):
            build.bring(stage.base)
        tree = start(stage, self._tree)
        for number, step in enumerate(stage.steps, start=self._first[stage.index] + 1):
            for source in origins(step):
                if isinstance(source, Base):
                    build.bring(source)
                else:
                    self._tree(source)
            if self.stopped.is_set():
                raise StoppedError("another stage of the build failed")
            tree = self._step(stage, step, tree, number)
        self.trees[stage.index].set_result(tree)

    def release(self) -> None:
        """Whoever still waits for a stage need not."""
        for tree in self.trees.values():
            tree.cancel()

    def _tree(self, index: int) -> Tree:
        try:
            return self.trees[index].result()
        except CancelledError:
            raise StoppedError("another stage of the build failed") from None

    def _step(self, stage: Stage, step: Step, tree: Tree, number: int) -> Tree:
        build = self.build
        keys = [build.key(step, tree, self._tree)]
        made = build.cached(keys[0]) if build.use_cache else None
        if made is None and isinstance(step, Copy) and step.source is not None:
            # The stage is another, but what is copied from it may be the same.
            keys.append(build.content_key(step, tree, self.work.content(step, self._tree)))
            made = build.cached(keys[1]) if build.use_cache else None
        place = f"[{stage.name or stage.index}] " if len(build.recipe.stages) > 1 else ""
        title = f"{place}step {number}/{self._total} {step.instruction.title}"
        self.report(Progress(f"image {build.name}", message=title + (" (cached)" if made else "")))
        if made is None:
            made = self.work.do(step, tree, self._tree, keys)
        else:
            for key in keys:
                build.room.cache.put(build.name, key, made)
        self.used.update(keys)
        return grown(tree, made)


def start(stage: Stage, trees: Callable[[int], Tree]) -> Tree:
    """What a stage begins on."""
    if stage.base is None:
        return Tree()
    return source_tree(stage.base, trees) if isinstance(stage.base, Base) else trees(stage.base).over()


def grown(tree: Tree, made: Made) -> Tree:
    """One step further."""
    return tree.add(made.diff_id, made.layer if made.diff_id else None)


def source_tree(source: Base | int | None, trees: Callable[[int], Tree]) -> Tree:
    """The layers of an image or a stage."""
    return Tree(source.diff_ids, source.layers) if isinstance(source, Base) else trees(int(source or 0))


def below(step: Step, tree: Tree) -> str:
    """What the result of a step depends on below it."""
    return "" if isinstance(step, Copy) and step.is_independent else tree.chain


def whole(tree: Tree, finished: Mapping[str, Made]) -> Tree:
    """With the compressed layers of this build, which were not known while it ran."""
    layers = [
        finished[chain].layer if not layer.digest else layer
        for chain, layer in zip(chain_ids(tree.diff_ids), tree.layers, strict=True)
    ]
    return replace(tree, layers=tuple(layers))
