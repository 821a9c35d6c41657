"""Layers that a build made, from the moment they are whole to the moment they are on disk under their names.

They lie under temporary names where they will stay, so that a sweep finds what a kill leaves. One syncfs(2) makes many
of them durable; until then the next steps use them where they are. Compression is done beside the next steps: what a
step stands for is told by the plain archive.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from bayplan.runtime.native.images.build import layer
from bayplan.runtime.native.images.build.assemble import Tree
from bayplan.runtime.native.images.build.cache import Cache, Made
from bayplan.runtime.native.images.layers import Layers
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.native.images.stored import Descriptor
from bayplan.system import trees
from bayplan.system.beneath import syncfs
from bayplan.system.files import fsync_dir

_PART = ".part-"
_IN_MEMORY = 8 << 20
_EVERY_S = 10.0
"""Results are named at least so often, as far as no step is under way: what a kill may cost."""


@dataclass
class _Row:
    image: str
    keys: tuple[str, ...]
    made: Made
    tree: Path
    """The layer's directory under its temporary name."""
    packed: Future[layer.Packed]
    archive: Path


class Pending:
    """What one build made. Safe among its threads; ``commit`` or ``discard`` at its end."""

    def __init__(self, store: ImageStore, layers: Layers, cache: Cache) -> None:
        store.make()
        layers.make()
        self._store, self._layers, self._cache = store, layers, cache
        self._rows: list[_Row] = []
        self._trees: dict[str, Path] = {}
        self.finished: dict[str, Made] = {}
        """By chain id, what is on disk."""
        self._change = threading.Condition()
        self._users = 0
        self._since = time.monotonic()
        self._is_broken = False
        """Syncing or naming failed: what the kernel then says of it is not to be believed, and is not tried again."""
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="compress")

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Nothing gets another name meanwhile."""
        with self._change:
            self._users += 1
        try:
            yield
        finally:
            with self._change:
                self._users -= 1
                self._change.notify_all()

    def path(self, chain: str) -> Path | None:
        """Where the layer of that chain id is; None for one that this build did not make."""
        with self._change:
            return self._trees.get(chain)

    def add(self, image: str, keys: Sequence[str], below: Tree, upper: Path, epoch: int, *, may_be_none: bool) -> Made:
        """Take a step's layer over, made on ``below``. ``may_be_none``: when it holds nothing there is no layer."""
        plain = cast("BinaryIO", SpooledTemporaryFile(_IN_MEMORY, dir=str(upper.parent)))  # noqa: SIM115 - closed below
        try:
            diff_id, is_empty = layer.archive(upper, plain, epoch)
            if is_empty and may_be_none:
                plain.close()
                made = Made(below.chain)
                for key in keys:
                    self._cache.put(image, key, made)
                return made
            made = Made(below.add(diff_id, Descriptor("", 0, "")).chain, diff_id)
            tree = upper.rename(self._layers.root / f"{_PART}{secrets.token_hex(16)}")
            archive = self._store.blobs / f"{_PART}{secrets.token_hex(16)}"
            packed = self._pool.submit(layer.compress, plain, archive, diff_id, is_empty=is_empty)
        except BaseException:
            plain.close()
            raise
        with self._change:
            self._rows.append(_Row(image, tuple(keys), made, tree, packed, archive))
            self._trees.setdefault(made.chain, tree)
        return made

    def commit_if_due(self) -> None:
        """Name what is ready, when that was long ago and no step is under way."""
        with self._change:
            if self._users or time.monotonic() - self._since < _EVERY_S:
                return
            self._commit([row for row in self._rows if row.packed.done()])

    def commit(self) -> None:
        """Name everything, when no step is under way. Raises OSError: then nothing got a name."""
        with self._change:
            self._change.wait_for(lambda: not self._users)
            self._commit(list(self._rows))

    def close(self) -> None:
        """Keep what can be kept; what cannot is gone."""
        try:
            self._pool.shutdown()
            with self._change:
                self._commit([row for row in self._rows if row.packed.exception() is None])
        finally:
            for row in self._rows:
                trees.remove(row.tree, ignore_errors=True)
                row.archive.unlink(missing_ok=True)
            self._rows.clear()

    def _commit(self, rows: list[_Row]) -> None:
        self._since = time.monotonic()
        if not rows or self._is_broken:
            return
        packed = [row.packed.result() for row in rows]  # raises before anything has another name
        try:
            self._name(rows, packed)
        except OSError:
            self._is_broken = True
            raise
        for row, blob in zip(rows, packed, strict=True):
            made = self.finished[row.made.chain] = replace(row.made, digest=blob.digest, size=blob.size)
            for key in row.keys:
                self._cache.put(row.image, key, made)
            self._rows.remove(row)

    def _name(self, rows: Sequence[_Row], packed: Sequence[layer.Packed]) -> None:
        for top in {top.stat().st_dev: top for top in (self._store.blobs, self._layers.root)}.values():
            fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                syncfs(fd)
            finally:
                os.close(fd)
        for row, blob in zip(rows, packed, strict=True):
            row.archive.rename(self._store.blob(blob.digest))
            target = self._layers.path(row.made.chain)
            try:
                row.tree.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
                trees.remove(row.tree)  # somebody else made the same
            self._trees[row.made.chain] = target
        for top in (self._store.blobs, self._layers.root):
            fsync_dir(top)
