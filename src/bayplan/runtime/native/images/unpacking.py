"""Layers unpacked side by side, and made durable together by one syncfs(2) before any of them gets its name."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Self

from bayplan.errors import BusyError, CorruptStateError
from bayplan.runtime.native.images.archive import Unpacker
from bayplan.runtime.native.images.compression import Plain
from bayplan.runtime.native.images.stored import Descriptor
from bayplan.runtime.protocol import Progress, Report
from bayplan.system import trees
from bayplan.system.beneath import syncfs
from bayplan.system.files import fsync_dir, locked, private_directory

PART = ".part-"


class Unpacking:
    """Layers on their way to ``root``. ``unpack`` may run in many threads; what is not committed is removed at the end.

    A lock for each layer, never waited for: who holds some and waits for others would wait for ever.
    """

    def __init__(self, root: Path) -> None:
        private_directory(root)
        self._root = root
        self._locks = ExitStack()
        self._guard = threading.Lock()
        self._trees: list[tuple[Path, Path]] = []
        """Temporary directory and final name of each layer."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._locks:
            for temporary, _target in self._trees:
                trees.remove(temporary, ignore_errors=True)

    def unpack(self, target: Path, blob: Path, diff_id: str, layer: Descriptor, report: Report) -> bool:
        """Unpack a layer below a temporary name; False when somebody else does so just now, True when it is here.

        Raises CorruptStateError for a layer that is not what the image says, UnsupportedError for device nodes.
        """
        with self._guard:
            if target.is_dir():
                return True
            try:
                self._locks.enter_context(locked(lock_of(target), "unpack layer", timeout_s=0))
            except BusyError:
                return False
            if target.is_dir():
                return True
            temporary = Path(tempfile.mkdtemp(prefix=f"{PART}{target.name[:12]}-", dir=self._root))
            self._trees.append((temporary, target))
        temporary.chmod(0o755)
        _unpack(temporary, blob, diff_id, layer, report)
        return True

    def commit(self) -> None:
        """Give the layers their names, when all of them are on disk; a power cut leaves each whole or absent."""
        if not self._trees:
            return
        fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            syncfs(fd)
        finally:
            os.close(fd)
        for temporary, target in self._trees:
            temporary.rename(target)
        fsync_dir(self._root)
        for _temporary, target in self._trees:
            # Whoever still waits for it, or makes it anew, finds the layer there and does nothing.
            lock_of(target).unlink(missing_ok=True)
        self._trees.clear()


def lock_of(target: Path) -> Path:
    """The lock of a layer by its final name."""
    return target.with_name(f".lock-{target.name}")


def _unpack(temporary: Path, blob: Path, diff_id: str, layer: Descriptor, report: Report) -> None:
    label = f"unpack {layer.digest[7:19]}"
    try:
        fd = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with blob.open("rb") as file:
                stream = _Hashed(file, lambda: report(Progress(label, file.tell(), layer.size)))
                Unpacker(fd).unpack(stream)
                stream.check(diff_id)
        finally:
            os.close(fd)
    except (ValueError, OverflowError) as error:
        raise CorruptStateError(f"layer {layer.digest} cannot be unpacked: {error}", hint="pull it again") from error
    report(Progress(label, layer.size, layer.size))


class _Hashed:
    """A layer blob read as plain tar, hashed on its way."""

    def __init__(self, file: BinaryIO, tick: Callable[[], None]) -> None:
        self._plain = Plain(file)
        self._hash = hashlib.sha256()
        self._tick = tick

    def read(self, size: int, /) -> bytes:
        data = self._plain.read(size)
        self._hash.update(data)
        self._tick()
        return data

    def check(self, diff_id: str) -> None:
        while self.read(1 << 20):
            pass
        found = f"sha256:{self._hash.hexdigest()}"
        if found != diff_id:
            raise ValueError(f"its content is {found}, the image says {diff_id}")
