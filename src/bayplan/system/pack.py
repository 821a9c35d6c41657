"""Trees to tar and back by descriptors alone, safe against whoever changes them meanwhile (CVE-2018-15664).

Directories are opened beneath a root by the kernel (openat2(2), RESOLVE_IN_ROOT); what is in them is opened by one
name without following links, and owner and mode are set through the descriptor of what was made.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from bayplan.errors import ConflictError, DeclarationError, RuntimeFailureError, UnsupportedError
from bayplan.system import xattrs
from bayplan.system.beneath import open_in_root

_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 20
_MAX_DEPTH = 300
"""Two descriptors are open for each directory on the way down."""


@contextmanager
def directory(root: int, path: str) -> Iterator[int]:
    """A directory beneath ``root``, links resolved within it. Raises OSError."""
    fd = open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def pack(tar: tarfile.TarFile, parent: int, name: str, called: str, depth: int = 0) -> None:
    """Add ``name`` of the directory ``parent``, and what is below it, as ``called``. Sockets are left out.

    Raises UnsupportedError for directories that lie too deep in each other.
    """
    if depth > _MAX_DEPTH:
        raise UnsupportedError(f"{called[:60]}... lies more than {_MAX_DEPTH} directories deep")
    fd = os.open(name, _PATH, dir_fd=parent)
    try:
        found = os.fstat(fd)
        info = tarfile.TarInfo(called)
        if not stat.S_ISLNK(found.st_mode):
            info.pax_headers = xattrs.read(f"/proc/self/fd/{fd}")
        info.uid, info.gid, info.mode, info.mtime = found.st_uid, found.st_gid, found.st_mode & 0o7777, found.st_mtime
        if stat.S_ISREG(found.st_mode):
            # The very file that was looked at: by its descriptor, never again by its name.
            with open(f"/proc/self/fd/{fd}", "rb") as content:  # noqa: PTH123 - a descriptor, no path
                info.size = found.st_size
                tar.addfile(info, _Exactly(content, found.st_size))  # type: ignore[arg-type]
        elif stat.S_ISDIR(found.st_mode):
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
            _pack_below(tar, fd, called, depth)
        elif stat.S_ISLNK(found.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink("", dir_fd=fd)
            tar.addfile(info)
        elif stat.S_ISFIFO(found.st_mode):
            info.type = tarfile.FIFOTYPE
            tar.addfile(info)
    finally:
        os.close(fd)


def _pack_below(tar: tarfile.TarFile, path_fd: int, called: str, depth: int) -> None:
    fd = os.open(".", _DIRECTORY, dir_fd=path_fd)
    try:
        for name in sorted(os.listdir(fd)):  # noqa: PTH208 - of a descriptor
            try:
                pack(tar, fd, name, f"{called}/{name}", depth + 1)
            except FileNotFoundError:  # gone meanwhile
                continue
    finally:
        os.close(fd)


class _Exactly:
    """Gives just as many bytes as were announced, zeros for those that are gone."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.left = file, size

    def read(self, size: int) -> bytes:
        wanted = min(size, self.left)
        data = self.file.read(wanted)
        self.left -= wanted
        return data + bytes(wanted - len(data))


def unpack(stream: IO[bytes], top: int) -> None:
    """Make the entries of a tar beneath the directory ``top``, owners kept.

    An entry replaces what is there, but a directory stays. Device nodes are refused. Raises DeclarationError for what
    is no archive and an entry that cannot be, ConflictError and RuntimeFailureError for one that cannot be made there.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for info in tar:
                _entry(tar, info, top)
    except tarfile.TarError as error:
        raise DeclarationError(f"no tar archive: {error}") from error


def _entry(tar: tarfile.TarFile, info: tarfile.TarInfo, top: int) -> None:
    parts = [part for part in info.name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise DeclarationError(f"entry {info.name!r} leads out of the archive")
    if not parts:
        return
    try:
        with directory(top, "/".join(parts[:-1])) as parent:
            _make(tar, info, top, parent, parts[-1])
    except OverflowError as error:
        raise DeclarationError(f"entry {info.name!r} has an impossible owner: {error}") from error
    except OSError as error:
        kind = ConflictError if error.errno in (errno.EROFS, errno.ELOOP) else RuntimeFailureError
        raise kind(f"entry {info.name!r} cannot be made: {error.strerror}") from error


def _make(tar: tarfile.TarFile, info: tarfile.TarInfo, top: int, parent: int, base: str) -> None:
    _clear(parent, base, keep_directory=info.isdir())
    if info.issym():
        os.symlink(info.linkname, base, dir_fd=parent)
        os.chown(base, info.uid, info.gid, dir_fd=parent, follow_symlinks=False)
        return
    if info.islnk():
        head, _, name = info.linkname.rpartition("/")
        with directory(top, head) as source:
            os.link(name, base, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        return
    if info.isdir():
        with suppress(FileExistsError):
            os.mkdir(base, 0o700, dir_fd=parent)
        fd = os.open(base, _DIRECTORY, dir_fd=parent)
    elif info.isreg():
        fd = os.open(base, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
    else:
        raise UnsupportedError(f"entry {info.name!r} is neither file, directory nor link")
    try:
        if info.isreg():
            with os.fdopen(os.dup(fd), "wb") as target:
                shutil.copyfileobj(tar.extractfile(info), target, _PIECE)  # type: ignore[arg-type]
        os.fchown(fd, info.uid, info.gid)
        xattrs.write(fd, info.pax_headers)
        os.fchmod(fd, info.mode & 0o7777)  # after chown(2), which clears the set-user-id bits
        os.utime(fd, (info.mtime, info.mtime))
    finally:
        os.close(fd)


def _clear(parent: int, base: str, *, keep_directory: bool) -> None:
    try:
        found = os.stat(base, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found):
        os.unlink(base, dir_fd=parent)
    elif not keep_directory:
        raise DeclarationError(f"{base} is a directory there and none in what is copied")
