"""Layer archives without their compression: gzip (RFC 1952), zstd (RFC 8878), or none."""

from __future__ import annotations

import zlib
from typing import Any, BinaryIO, Self, cast

from bayplan.errors import CorruptStateError

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
_RATIO = 200
_FREE = 4 << 30
"""Bytes that may come of however few. gzip itself cannot do better than 1 : 1032, zstd knows no bound."""


class Plain:
    """A layer archive without its compression, to be read to its end; closes ``file`` with itself.

    Reading raises CorruptStateError when the compressed data are broken, or are a bomb: more than 4 GiB and more than
    200 times as much as they take.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._stream, self._faults = _decompressed(file)
        self._count = 0

    def read(self, size: int = -1, /) -> bytes:
        """As of a file."""
        try:
            data = bytes(self._stream.read(size))
        except self._faults as error:
            raise CorruptStateError(f"compressed data are broken: {error}", hint="pull it again") from error
        self._count += len(data)
        if self._count > _FREE and self._count > _RATIO * self._file.tell():
            raise CorruptStateError(f"compressed data grow to more than {_RATIO} times their size")
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _decompressed(file: BinaryIO) -> tuple[Any, tuple[type[Exception], ...]]:
    """The plain stream and what its decoder raises for broken data.

    By its first bytes, not its media type: registries hold layers whose type is wrong.
    """
    magic = file.read(4)
    file.seek(0)
    if magic.startswith(GZIP):
        import gzip

        faults: tuple[type[Exception], ...] = (gzip.BadGzipFile, zlib.error, EOFError)
        try:
            from isal import igzip, isal_zlib
        except ImportError:
            return gzip.open(file), faults
        fault = cast("type[Exception]", isal_zlib.error)  # its stub types the class as an instance
        return igzip.open(file), (*faults, fault)
    if magic == ZSTD:
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return reader, (zstandard.ZstdError,)
    return file, ()
