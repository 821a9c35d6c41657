"""Archives that ADD unpacks (Dockerfile reference, "Adding local tar archives"): by their content, not by their name.

Read by the reader of layers: names are resolved below the destination by the kernel, nothing leads out of it, sizes are
bounded. An archive is data of a stranger like a layer is.
"""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING, BinaryIO, cast

from bayplan.errors import CorruptStateError, RuntimeFailureError, UnsupportedError
from bayplan.runtime.native.images.archive import Unpacker
from bayplan.runtime.native.images.compression import Plain
from bayplan.runtime.native.images.tar_stream import TarStream

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CHUNK = 1 << 20


def is_archive(fd: int) -> bool:
    """Whether a file holds at least one entry of a tar archive, compressed or not. Closes ``fd``."""
    with os.fdopen(fd, "rb") as file:
        try:
            return next(iter(TarStream(Plain(file))), None) is not None
        except (ValueError, OverflowError, CorruptStateError):
            return False


def unpack(fd: int, root: int, name: str, owner: tuple[int, int] | None) -> str:
    """Unpack below the directory ``root``; gives the sha256 of what was read. Closes ``fd``.

    Raises RuntimeFailureError for what is broken, leads out, is too large, or cannot be in a layer (device nodes).
    """
    with os.fdopen(fd, "rb") as file:
        watched = _Watched(file)
        try:
            plain = Plain(cast("BinaryIO", watched))
            Unpacker(root, whiteouts=False, owner=owner).unpack(plain)
        except (CorruptStateError, UnsupportedError) as error:
            raise RuntimeFailureError(f"{name} cannot be unpacked: {error.what}", hint="or COPY it as it is") from error
        except (ValueError, OverflowError) as error:
            raise RuntimeFailureError(f"{name} cannot be unpacked: {error}", hint="or COPY it as it is") from error
        while watched.read(_CHUNK):
            pass
        return watched.hash.hexdigest()


class _Watched(io.RawIOBase):
    """A file hashed while it is read from its begin to its end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.hash = file, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        data = self._file.read(len(view))
        view[: len(data)] = data
        self.hash.update(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if (offset, whence) != (0, os.SEEK_SET):
            raise ValueError("a stream is read in its order")
        self.hash = hashlib.sha256()
        return self._file.seek(0)

    def tell(self) -> int:
        return self._file.tell()
