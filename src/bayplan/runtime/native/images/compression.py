"""Archives without their compression: gzip (RFC 1952), zstd (RFC 8878), bzip2, xz, or none."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol, Self, cast

from bayplan.errors import CorruptStateError

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
BZIP2 = b"BZh"
XZ = b"\xfd7zXZ\x00"
_XZ_MEMORY = 256 << 20  # bytes of its dictionary: xz -9 wants 64 MiB, a header may ask for 4 GiB
_PIECE = 1 << 16
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
    magic = file.read(6)
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
    if magic.startswith(ZSTD):
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return reader, (zstandard.ZstdError,)
    if magic.startswith(BZIP2):
        import bz2

        return _Members(file, bz2.BZ2Decompressor), (OSError, EOFError)
    if magic == XZ:
        import lzma

        def one() -> lzma.LZMADecompressor:
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

        return _Members(file, one), (lzma.LZMAError, EOFError)
    return file, ()


class _Decoder(Protocol):
    """What bz2 and lzma have in common."""

    @property
    def eof(self) -> bool:
        """Whether its stream is at its end."""

    @property
    def needs_input(self) -> bool:
        """Whether it gives nothing more without more data."""

    @property
    def unused_data(self) -> bytes:
        """What came after its end."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """At most so many bytes."""


class _Members:
    """One or more compressed streams, one after the other, of which no more is held than was asked for."""

    def __init__(self, file: BinaryIO, one: Callable[[], _Decoder]) -> None:
        self._file, self._one = file, one
        self._decoder = one()
        self._kept = b""

    def read(self, size: int = -1) -> bytes:
        """As of a file. Raises EOFError when the data are cut, and what the decoder raises."""
        while True:
            if self._decoder.eof:
                self._kept = (self._decoder.unused_data or self._file.read(_PIECE)).lstrip(b"\0")  # xz(1): padding
                if not self._kept:
                    return b""
                self._decoder = self._one()
            wanted = self._decoder.needs_input and not self._kept
            piece = self._file.read(_PIECE) if wanted else self._kept
            self._kept = b""
            if wanted and not piece:
                raise EOFError("the data are cut")
            if data := self._decoder.decompress(piece, size):
                return data
