"""Layers unpacked once each, by chain id; a directory that has its final name is whole and on disk."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from bayplan.errors import CorruptStateError
from bayplan.runtime.native.images.archive import Unpacker
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.native.images.stored import Descriptor, StoredImage
from bayplan.runtime.protocol import Progress, Report, silent
from bayplan.system.beneath import syncfs
from bayplan.system.files import fsync_dir, locked

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


class Layers:
    """Unpacked layers below ``root``. Safe among threads and processes: a lock for each chain id."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, chain_id: str) -> Path:
        """Where the layer of that chain id is, or will be. Raises CorruptStateError for what is not a sha256 digest."""
        if not _DIGEST.fullmatch(chain_id):
            raise CorruptStateError(f"not a sha256 digest: {chain_id!r}", where=str(self.root))
        return self.root / chain_id.removeprefix("sha256:")

    def ensure(self, image: StoredImage, store: ImageStore, report: Report = silent) -> tuple[Path, ...]:
        """Unpack what is missing; the lower directories of an overlay, topmost first.

        Raises CorruptStateError for a layer that is not what the image says, UnsupportedError for device nodes.
        """
        paths = []
        for chain, diff_id, layer in zip(image.chain_ids, image.diff_ids, image.layers, strict=True):
            target = self.path(chain)
            if not target.is_dir():
                lock = self.root / f".lock-{target.name}"
                with store.in_use(), locked(lock, "unpack layer"):
                    if not target.is_dir():
                        self._unpack(target, store.blob(layer.digest), diff_id, layer, report)
                    # Whoever still waits for it, or makes it anew, finds the layer there and does nothing.
                    lock.unlink(missing_ok=True)
            paths.append(target)
        return tuple(reversed(paths))

    def adopt(self, chain_id: str, tree: Path) -> None:
        """Take a directory that holds just what the layer would unpack to; left alone when the layer is here."""
        target = self.path(chain_id)
        with locked(self.root / f".lock-{target.name}", "adopt layer"):
            if target.is_dir():
                return
            fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                syncfs(fd)
            finally:
                os.close(fd)
            tree.rename(target)
            fsync_dir(self.root)

    def _unpack(self, target: Path, blob: Path, diff_id: str, layer: Descriptor, report: Report) -> None:
        temporary = Path(tempfile.mkdtemp(prefix=f".part-{target.name[:12]}-", dir=self.root))
        label = f"unpack {layer.digest[7:19]}"
        try:
            temporary.chmod(0o755)
            fd = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                with blob.open("rb") as file:
                    stream = _Hashed(file, lambda: report(Progress(label, file.tell(), layer.size)))
                    Unpacker(fd).unpack(cast("BinaryIO", stream))
                    stream.check(diff_id)
                syncfs(fd)
            finally:
                os.close(fd)
            temporary.rename(target)
        except (tarfile.TarError, ValueError, OverflowError) as error:
            raise CorruptStateError(
                f"layer {layer.digest} cannot be unpacked: {error}", hint="pull it again"
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        fsync_dir(self.root)
        report(Progress(label, layer.size, layer.size))


class _Hashed:
    """A layer blob read as plain tar, hashed on its way."""

    def __init__(self, file: BinaryIO, tick: Callable[[], None]) -> None:
        self._plain, self._faults = _decompressed(file)
        self._hash = hashlib.sha256()
        self._tick = tick

    def read(self, size: int = -1) -> bytes:
        try:
            data = bytes(self._plain.read(size))
        except self._faults as error:
            raise ValueError(f"its compressed data are broken: {error}") from error
        self._hash.update(data)
        self._tick()
        return data

    def check(self, diff_id: str) -> None:
        while self.read(1 << 20):
            pass
        found = f"sha256:{self._hash.hexdigest()}"
        if found != diff_id:
            raise ValueError(f"its content is {found}, the image says {diff_id}")


class plain:  # noqa: N801 - used as a function that opens
    """A layer archive without its compression, to be read to its end; closes ``file`` with itself.

    Reading raises CorruptStateError when the compressed data are broken.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._stream, self._faults = _decompressed(file)

    def read(self, size: int = -1) -> bytes:
        """As of a file."""
        try:
            return bytes(self._stream.read(size))
        except self._faults as error:
            raise CorruptStateError(f"compressed data are broken: {error}") from error

    def __enter__(self) -> plain:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _decompressed(file: BinaryIO) -> tuple[Any, tuple[type[Exception], ...]]:
    """The plain stream and what its decoder raises for broken data.

    By its first bytes, not its media type: registries hold layers whose type is wrong.
    """
    magic = file.read(4)
    file.seek(0)
    if magic.startswith(_GZIP):
        import gzip

        faults: tuple[type[Exception], ...] = (gzip.BadGzipFile, zlib.error, EOFError)
        try:
            from isal import igzip, isal_zlib
        except ImportError:
            return gzip.open(file), faults
        fault = cast("type[Exception]", isal_zlib.error)  # its stub types the class as an instance
        return igzip.open(file), (*faults, fault)
    if magic == _ZSTD:
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return reader, (zstandard.ZstdError,)
    return file, ()
