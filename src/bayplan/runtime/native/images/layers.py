"""Layers unpacked once each, by chain id; a directory that has its final name is whole and on disk."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bayplan.errors import CorruptStateError
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.native.images.stored import StoredImage
from bayplan.runtime.protocol import Report, silent
from bayplan.system.files import locked, private_directory

PARALLEL = 2
"""Layers unpacked at once: more would wait for the interpreter and the disk."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Layers:
    """Unpacked layers below ``root``. Safe among threads and processes: a lock for each chain id."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if root.is_dir():
            self.make()

    def make(self) -> None:
        """Make the directory, for a change that needs it."""
        private_directory(self.root)

    def path(self, chain_id: str) -> Path:
        """Where the layer of that chain id is, or will be. Raises CorruptStateError for what is not a sha256 digest."""
        if not _DIGEST.fullmatch(chain_id):
            raise CorruptStateError(f"not a sha256 digest: {chain_id!r}", where=str(self.root))
        return self.root / chain_id.removeprefix("sha256:")

    def ensure(self, image: StoredImage, store: ImageStore, report: Report = silent) -> tuple[Path, ...]:
        """Unpack what is missing; the lower directories of an overlay, topmost first.

        Raises CorruptStateError for a layer that is not what the image says, UnsupportedError for device nodes.
        """
        paths = [self.path(chain) for chain in image.chain_ids]
        while not all(path.is_dir() for path in paths):
            with store.in_use():
                self._unpack(image, paths, store, report)
        return tuple(reversed(paths))

    def _unpack(self, image: StoredImage, paths: list[Path], store: ImageStore, report: Report) -> None:
        """What nobody else unpacks just now; then wait for one of theirs."""
        from bayplan.runtime.native.images.unpacking import Unpacking, lock_of

        every = zip(paths, image.diff_ids, image.layers, strict=True)
        with Unpacking(self.root) as work, ThreadPoolExecutor(PARALLEL, thread_name_prefix="unpack") as pool:
            jobs = {
                path: pool.submit(work.unpack, path, store.blob(layer.digest), diff_id, layer, report)
                for path, diff_id, layer in every
                if not path.is_dir()
            }
            try:
                taken = [path for path, job in jobs.items() if not job.result()]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
            work.commit()
        for path in taken[:1]:
            with locked(lock_of(path), "wait for layer"):
                pass
