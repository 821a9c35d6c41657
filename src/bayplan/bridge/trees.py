"""What a tar archive holds, entry by entry, so that two of them can be compared by what matters."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from bayplan.errors import CorruptStateError, NotFoundError
from bayplan.values import frozen

_PIECE = 1 << 20


@frozen
class Entry:
    """One entry. ``content`` is a digest of a file's, the target of a link, or empty."""

    kind: str
    mode: int
    owner: tuple[int, int]
    content: str = ""


def entries(archive: IO[bytes]) -> dict[str, Entry]:
    """By name, without ``./`` and a slash at the end; times are left out. Raises CorruptStateError."""
    found: dict[str, Entry] = {}
    try:
        with tarfile.open(fileobj=archive, mode="r|*") as tar:
            for item in tar:
                found[_name(item.name)] = _entry(tar, item)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise CorruptStateError(f"the archive cannot be read: {error}", hint="give a plain tar archive") from error
    return found


def read(path: Path) -> dict[str, Entry]:
    """The entries of a tar file. Raises NotFoundError, CorruptStateError."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise NotFoundError(f"cannot be read: {error.strerror}", where=str(path)) from error
    with file:
        return entries(file)


def pack(
    source: Path, name: str, out: BinaryIO, *, mode: int | None = None, owner: tuple[int | None, int | None]
) -> None:
    """Write a file or a tree of this host as an archive of ``name``; numbers of owners are kept where none is given.

    ``mode`` is that of a single file. Raises NotFoundError.
    """

    def owned(item: tarfile.TarInfo) -> tarfile.TarInfo:
        item.uid, item.gid = (
            kept if given is None else given for kept, given in zip((item.uid, item.gid), owner, strict=True)
        )
        item.uname = item.gname = ""
        if mode is not None and item.name == name and item.isreg():
            item.mode = mode
        return item

    try:
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            tar.add(source, arcname=name, filter=owned)
    except OSError as error:
        raise NotFoundError(f"cannot be read: {error.strerror}", where=str(error.filename or source)) from error


def pack_bytes(data: bytes, name: str, out: BinaryIO, *, mode: int, owner: tuple[int, int]) -> None:
    """Write one file's content as an archive."""
    import io
    import time

    item = tarfile.TarInfo(name)
    item.size, item.mode, item.mtime = len(data), mode, int(time.time())
    item.uid, item.gid = owner
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(item, io.BytesIO(data))


def of_path(path: Path) -> dict[str, Entry]:
    """A file or a tree of this host as an archive of it would hold it, its own name left out; empty when not there."""
    return dict(_walk(path, "")) if os.path.lexists(path) else {}


def _walk(path: Path, name: str) -> Iterator[tuple[str, Entry]]:
    found = path.lstat()
    mode, owner = stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid)
    if stat.S_ISLNK(found.st_mode):
        yield name, Entry("link", 0, owner, str(path.readlink()))
    elif stat.S_ISDIR(found.st_mode):
        yield name, Entry("directory", mode, owner)
        for item in sorted(path.iterdir()):
            yield from _walk(item, f"{name}/{item.name}".lstrip("/"))
    elif stat.S_ISREG(found.st_mode):
        with path.open("rb") as file:
            yield name, Entry("file", mode, owner, _digest(file))
    else:
        yield name, Entry("other", mode, owner)


def _entry(tar: tarfile.TarFile, item: tarfile.TarInfo) -> Entry:
    owner = (item.uid, item.gid)
    if item.issym():
        return Entry("link", 0, owner, item.linkname)
    if item.islnk():
        return Entry("hard link", 0, owner, _name(item.linkname))
    if item.isdir():
        return Entry("directory", item.mode & 0o7777, owner)
    if item.isreg():
        file = tar.extractfile(item)
        assert file is not None
        return Entry("file", item.mode & 0o7777, owner, _digest(file))
    return Entry("other", item.mode & 0o7777, owner)


def _name(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _digest(file: IO[bytes]) -> str:
    found = hashlib.sha256()
    while piece := file.read(_PIECE):
        found.update(piece)
    return found.hexdigest()
