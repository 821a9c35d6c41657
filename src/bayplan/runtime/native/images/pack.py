"""A container's file system, or its own layer, as a tar stream. The same files give the same bytes."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from bayplan.errors import UnsupportedError
from bayplan.runtime.native.images.tree import Entry, attributes, walk


def pack_tree(upper: Path | None, lowers: Sequence[Path], target: BinaryIO) -> None:
    """The whole file system as the container sees it, device nodes included; no whiteouts."""
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        writer = _Writer(tar)
        for entry in walk(upper, lowers, changes_only=False):
            writer.add(entry)


def pack_changes(upper: Path, lowers: Sequence[Path], target: BinaryIO) -> int:
    """The topmost layer as an archive of the OCI image specification ("Layer Filesystem Changeset"); its entries.

    Raises UnsupportedError for what a layer cannot hold: device nodes, and names that would mean a removal.
    """
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        writer = _Writer(tar)
        for entry in walk(upper, lowers, changes_only=True):
            head, _, base = entry.name.rpartition("/")
            if entry.is_gone and entry.by_opaque:
                continue
            if entry.is_gone:
                writer.mark(f"{head}/.wh.{base}".lstrip("/"))
                continue
            if base.startswith(".wh.") or stat.S_ISBLK(entry.found.st_mode) or stat.S_ISCHR(entry.found.st_mode):
                raise UnsupportedError(f"a layer cannot hold /{entry.name}", hint="remove it in the container")
            writer.add(entry)
            if entry.by_opaque and entry.is_below:
                writer.mark(f"{entry.name}/.wh..wh..opq")
    return writer.count


class _Writer:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar, self.count = tar, 0
        self._links: dict[tuple[int, int], str] = {}

    def mark(self, name: str) -> None:
        """An empty file whose name says it all."""
        self._add(tarfile.TarInfo(name))

    def add(self, entry: Entry) -> None:
        """One entry; sockets, which archives cannot hold, are left out."""
        found, mode = entry.found, entry.found.st_mode
        if stat.S_ISSOCK(mode):
            return
        info = tarfile.TarInfo(entry.name)
        info.mode, info.uid, info.gid, info.mtime = stat.S_IMODE(mode), found.st_uid, found.st_gid, int(found.st_mtime)
        pax = {} if stat.S_ISLNK(mode) else attributes(entry)
        info.pax_headers = {
            f"SCHILY.xattr.{key}": value.decode("utf-8", "surrogateescape") for key, value in pax.items()
        }
        if stat.S_ISREG(mode):
            self._regular(entry, info)
            return
        if stat.S_ISDIR(mode):
            info.type = tarfile.DIRTYPE
        elif stat.S_ISLNK(mode):
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(entry.base, dir_fd=entry.fd)
        elif stat.S_ISFIFO(mode):
            info.type = tarfile.FIFOTYPE
        else:
            info.type = tarfile.CHRTYPE if stat.S_ISCHR(mode) else tarfile.BLKTYPE
            info.devmajor, info.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
        self._add(info)

    def _regular(self, entry: Entry, info: tarfile.TarInfo) -> None:
        try:
            fd = os.open(entry.base, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=entry.fd)
        except OSError:
            return  # the container took it away, or put a link in its place
        with os.fdopen(fd, "rb") as file:
            now = os.fstat(fd)
            if not stat.S_ISREG(now.st_mode):
                return
            key = (now.st_dev, now.st_ino)
            first = self._links.setdefault(key, entry.name) if now.st_nlink > 1 else entry.name
            if first != entry.name:
                info.type, info.linkname = tarfile.LNKTYPE, first
                self._add(info)
                return
            info.size = now.st_size
            self._add(info, _Padded(file, now.st_size))

    def _add(self, info: tarfile.TarInfo, file: _Padded | None = None) -> None:
        self.count += 1
        self._tar.addfile(info, file)  # type: ignore[arg-type]  # it is only read
        self._tar.members.clear()  # type: ignore[attr-defined]  # a list of millions would stay in memory


class _Padded:
    """A file that a running container may cut short: the rest is zeros, as tar(1) has it."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int) -> bytes:
        wanted = min(size, self._left)
        data = self._file.read(wanted).ljust(wanted, b"\0")
        self._left -= wanted
        return data
