"""Archives of images from anywhere, read with the guards that layers have: bounded headers, no way out."""

from __future__ import annotations

import os
import posixpath
import re
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from bayplan.errors import CorruptStateError, NotFoundError
from bayplan.runtime.native.images.archive import MAX_BYTES, clean
from bayplan.runtime.native.images.compression import Plain
from bayplan.system.beneath import open_in_root

MAX_DOCUMENT = 8 << 20
_MAX_MEMBERS = 100_000
_PIECE = 1 << 20
_MAX_HEADER = 4 << 20  # bytes of extended headers of one entry: tarfile reads them whole into memory
_HEADERS = frozenset(
    (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
)
_COMPRESSED = re.compile(rb"\x1f\x8b|\x28\xb5\x2f\xfd")


class Source(Protocol):
    """Files by name, wherever they lie."""

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""

    def chunks(self, name: str) -> Iterator[bytes]:
        """The file's content. Raises NotFoundError, CorruptStateError."""


def document(source: Source, name: str) -> bytes:
    """A whole small file. Raises CorruptStateError for one that is not small."""
    data = bytearray()
    for chunk in source.chunks(name):
        data += chunk
        if len(data) > MAX_DOCUMENT:
            raise CorruptStateError(f"{name} is larger than {MAX_DOCUMENT} bytes")
    return bytes(data)


@contextmanager
def opened(path: Path | BinaryIO, room: Path) -> Iterator[Source]:
    """A directory, a tar file, or a stream of one; compressed or not. ``room`` is where what cannot seek is kept."""
    if isinstance(path, Path) and path.is_dir():
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield _Directory(fd, path)
        finally:
            os.close(fd)
        return
    with seekable(path, room) as file:
        yield _Tar(file, str(path) if isinstance(path, Path) else "standard input")


@contextmanager
def seekable(path: Path | BinaryIO, room: Path) -> Iterator[BinaryIO]:
    """A plain file that can seek; a copy in ``room`` without a name for streams and what is compressed."""
    try:
        source = path.open("rb") if isinstance(path, Path) else path
    except FileNotFoundError:
        raise NotFoundError("no such file", where=str(path)) from None
    try:
        head = source.read(4) if isinstance(path, Path) else b""
        if isinstance(path, Path):
            source.seek(0)
            if not _COMPRESSED.match(head):
                yield source
                return
        with tempfile.TemporaryFile(prefix=".part-", dir=room) as copy:
            _copied(source, copy)
            copy.seek(0)
            head = copy.read(4)
            copy.seek(0)
            if not _COMPRESSED.match(head):
                yield copy
                return
            with tempfile.TemporaryFile(prefix=".part-", dir=room) as whole:
                _copied(Plain(copy), whole)
                whole.seek(0)
                yield whole
    finally:
        if isinstance(path, Path):
            source.close()


def _copied(source: object, target: object) -> None:
    count = 0
    while piece := source.read(_PIECE):  # type: ignore[attr-defined]  # anything that reads
        count += len(piece)
        if count > MAX_BYTES:
            raise CorruptStateError(f"the archive is larger than {MAX_BYTES} bytes")
        target.write(piece)  # type: ignore[attr-defined]  # anything that writes


class GuardedInfo(tarfile.TarInfo):
    """An entry whose headers are bounded, and whose damage is an error: tarfile takes it for the archive's end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:  # type: ignore[override]
        """The next entry. Raises ReadError for a damaged one."""
        try:
            return super().fromtarfile(tarfile_)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"damaged header: {error}") from error

    def _proc_member(self, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size < 0 or (self.type in _HEADERS and self.size > _MAX_HEADER):
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        return super()._proc_member(tarfile_)  # type: ignore[misc,no-any-return]


class _Directory:
    def __init__(self, fd: int, path: Path) -> None:
        self._fd, self._path = fd, path

    def has(self, name: str) -> bool:
        try:
            os.close(self._open(name))
        except NotFoundError:
            return False
        return True

    def chunks(self, name: str) -> Iterator[bytes]:
        with os.fdopen(self._open(name), "rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    def _open(self, name: str) -> int:
        try:
            fd = open_in_root(self._fd, clean(name), os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise NotFoundError(f"{name}: {error.strerror}", where=str(self._path)) from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise CorruptStateError(f"{name} is no plain file", where=str(self._path))
        return fd


class _Tar:
    """Members are looked up, never written anywhere; links are followed once, inside the archive."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._where = where
        self._members: dict[str, tarfile.TarInfo] = {}
        try:
            self._tar = tarfile.open(fileobj=file, mode="r:", tarinfo=GuardedInfo)  # noqa: SIM115 - the file is the caller's
            for count, info in enumerate(self._tar):
                if count >= _MAX_MEMBERS:
                    raise CorruptStateError(f"more than {_MAX_MEMBERS} entries", where=where)
                self._members[clean(info.name)] = info
        except (tarfile.TarError, ValueError, OverflowError) as error:
            raise CorruptStateError(f"it is no tar archive: {error}", where=where) from error

    def has(self, name: str) -> bool:
        return clean(name) in self._members

    def chunks(self, name: str) -> Iterator[bytes]:
        key = clean(name)
        info = self._members.get(key)
        if info and (info.issym() or info.islnk()):
            base = posixpath.dirname(key) if info.issym() else ""
            info = self._members.get(posixpath.normpath(posixpath.join(base, info.linkname)))
        if info is None:
            raise NotFoundError(f"the archive has no {name}", where=self._where)
        if not info.isreg() or info.issparse() or not 0 <= info.size <= MAX_BYTES:
            raise CorruptStateError(f"{name} is no plain file", where=self._where)
        file, count = self._tar.extractfile(info), 0
        while file and (piece := file.read(_PIECE)):
            count += len(piece)
            yield piece
        if count != info.size:
            raise CorruptStateError(f"{name} is cut", where=self._where)
