"""An overlay's upper directory as a layer archive: the same files give the same bytes.

Names sorted, times held to the epoch, numeric owners, whiteouts as the OCI image specification has them ("Layer
Filesystem Changeset").
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bayplan.errors import UnsupportedError
from bayplan.runtime.native.images.build.files import check_depth
from bayplan.runtime.native.images.build.tar_writer import TarWriter
from bayplan.runtime.native.images.layer_bytes import FAST, GzipSink, attributes

_CHUNK = 1 << 20
_OPAQUE = "trusted.overlay.opaque"


@dataclass(frozen=True)
class Packed:
    """A layer archive: digest of the plain one, digest and size in bytes of the compressed one."""

    diff_id: str
    digest: str
    size: int
    is_empty: bool


def pack(tree: Path, target: Path, epoch: int) -> Packed:
    """``archive`` and ``compress`` in one."""
    with tempfile.TemporaryFile() as plain:
        diff_id, is_empty = archive(tree, plain, epoch)
        return compress(plain, target, diff_id, is_empty=is_empty)


def archive(tree: Path, target: BinaryIO, epoch: int) -> tuple[str, bool]:
    """Write ``tree`` as a plain archive, holding the times of its files to ``epoch`` as well; its digest, is it empty.

    Raises UnsupportedError for what a layer cannot hold (device nodes).
    """
    sink = _Sink(target)
    writer = _Writer(epoch, TarWriter(sink))
    writer.directory(str(tree), "")
    writer.tar.finish()
    return f"sha256:{sink.hash.hexdigest()}", writer.count == 0


def compress(plain: BinaryIO, target: Path, diff_id: str, *, is_empty: bool) -> Packed:
    """Compress what ``archive`` wrote, and close it."""
    with plain, target.open("wb") as file:
        plain.seek(0)
        os.fchmod(file.fileno(), 0o600)
        sink = GzipSink(file, FAST)
        while chunk := plain.read(_CHUNK):
            sink.write(chunk)
        sink.finish()
    return Packed(diff_id, sink.digest, sink.size, is_empty)


class _Sink:
    def __init__(self, file: BinaryIO) -> None:
        self.file, self.hash = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return self.file.write(data)


class _Writer:
    def __init__(self, epoch: int, tar: TarWriter) -> None:
        self.epoch, self.tar, self.count = epoch, tar, 0
        self._links: dict[tuple[int, int], str] = {}

    def directory(self, path: str, name: str) -> None:
        """Everything in a directory; its own entry comes from its parent."""
        check_depth(name)
        for base in sorted(os.listdir(path)):  # noqa: PTH208 - names, not paths, are sorted
            where, inner = f"{path}/{base}", f"{name}/{base}".lstrip("/")
            found = os.lstat(where)
            if stat.S_ISSOCK(found.st_mode):
                os.unlink(where)  # noqa: PTH108 - a socket of an ended process; archives cannot hold it
                continue
            self._entry(where, inner, found)
            if stat.S_ISDIR(found.st_mode):
                if _is_opaque(where):
                    self._add(self._info(f"{inner}/.wh..wh..opq", tarfile.REGTYPE))
                self.directory(where, inner)
            self._stamp(where, found)
        self._stamp(path, os.lstat(path))

    def _entry(self, where: str, name: str, found: os.stat_result) -> None:
        mode = found.st_mode
        if stat.S_ISCHR(mode) and found.st_rdev == 0:
            head, _, base = name.rpartition("/")
            self._add(self._info(f"{head}/.wh.{base}".lstrip("/"), tarfile.REGTYPE))
            return
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise UnsupportedError(f"a step made the device node /{name}", hint="layers hold none; remove it")
        if os.path.basename(name).startswith(".wh."):  # noqa: PTH119 - a name inside the layer
            raise UnsupportedError(f"a step made /{name}", hint="names with .wh. mean removal in layers")
        info = self._info(name, tarfile.DIRTYPE if stat.S_ISDIR(mode) else tarfile.REGTYPE)
        info.mode, info.uid, info.gid = stat.S_IMODE(mode), found.st_uid, found.st_gid
        info.mtime = min(int(found.st_mtime), self.epoch)
        if stat.S_ISLNK(mode):
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(where)  # noqa: PTH115 - text as it is
        elif stat.S_ISFIFO(mode):
            info.type = tarfile.FIFOTYPE
        if not stat.S_ISLNK(mode):
            self._attributes(where, info)
        if not stat.S_ISREG(mode):
            self._add(info)
            return
        first = self._links.setdefault((found.st_dev, found.st_ino), name) if found.st_nlink > 1 else name
        if first != name:
            info.type, info.linkname = tarfile.LNKTYPE, first
            self._add(info)
            return
        info.size = found.st_size
        self._add(info, where)

    def _attributes(self, where: str, info: tarfile.TarInfo) -> None:
        kept = attributes(where, f"/{info.name}")
        info.pax_headers = {
            f"SCHILY.xattr.{key}": value.decode("utf-8", "surrogateescape") for key, value in kept.items()
        }

    def _info(self, name: str, kind: bytes) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type = kind
        return info

    def _add(self, info: tarfile.TarInfo, content: str | None = None) -> None:
        self.count += 1
        self.tar.add(info, content)

    def _stamp(self, where: str, found: os.stat_result) -> None:
        when = min(int(found.st_mtime), self.epoch)
        if not (stat.S_ISCHR(found.st_mode) and found.st_rdev == 0):
            os.utime(where, (when, when), follow_symlinks=False)


def _is_opaque(where: str) -> bool:
    try:
        return os.getxattr(where, _OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False
