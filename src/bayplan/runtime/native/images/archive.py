"""One layer archive written into a directory as the overlay file system wants it.

Every name is resolved by openat2 below the layer's own root, so that no link of an archive leads out of it. Whiteouts
(OCI image specification, "Layer Filesystem Changeset") become character devices 0:0 and ``trusted.overlay.opaque``
(kernel, filesystems/overlayfs).
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tarfile
from typing import BinaryIO

from bayplan.errors import CorruptStateError, UnsupportedError
from bayplan.system.beneath import open_in_root

MAX_ENTRIES = 2_000_000
MAX_BYTES = 256 << 30
_OPAQUE = "trusted.overlay.opaque"
_XATTR = "SCHILY.xattr."
_WHITEOUT = ".wh."
_MAX_HEADER = 4 << 20  # bytes of extended headers of one entry: tarfile reads them whole into memory
_MAX_DEPTH = 500
_MAX_ID = (1 << 32) - 2  # chown(2) takes the highest number for "leave it"
_HEADERS = frozenset(
    (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
)


class _Info(tarfile.TarInfo):
    """An entry whose headers are bounded, and whose damage is an error: tarfile takes it for the archive's end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:  # type: ignore[override]
        try:
            return super().fromtarfile(tarfile_)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"damaged header: {error}") from error

    def _proc_member(self, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size < 0 or (self.type in _HEADERS and self.size > _MAX_HEADER):
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        return super()._proc_member(tarfile_)  # type: ignore[misc,no-any-return]


class Unpacker:
    """Unpack tar streams below ``root_fd``. ``max_entries`` and ``max_bytes`` bound what one layer may make.

    ``whiteouts`` False takes names that mark deletions in a layer for plain names.
    """

    def __init__(
        self, root_fd: int, *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES, whiteouts: bool = True
    ) -> None:
        self._root = root_fd
        self._whiteouts = whiteouts
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._times: dict[str, float] = {}

    def unpack(self, stream: BinaryIO) -> None:
        """Write all entries. Raises CorruptStateError or UnsupportedError naming the entry, TarError, OSError."""
        total = 0
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Info) as tar:
            for count, info in enumerate(tar, start=1):
                tar.members.clear()  # type: ignore[attr-defined]  # a list of millions would stay in memory
                total += info.size if info.isreg() else 0
                if count > self._max_entries or total > self._max_bytes:
                    raise CorruptStateError(
                        f"layer is larger than {self._max_entries} entries, {self._max_bytes} bytes"
                    )
                self._entry(tar, info)
        for name, when in self._times.items():
            self._stamp(name, when)

    def _entry(self, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        if info.size < 0 or not (0 <= info.uid <= _MAX_ID and 0 <= info.gid <= _MAX_ID):
            raise CorruptStateError(f"entry {info.name!r} has an impossible owner or size")
        name = _clean(info.name)
        if not name:
            self._attributes(self._root, ".", info)
            self._times["."] = info.mtime
            return
        head, _, base = name.rpartition("/")
        parent = self._directory(head)
        try:
            if self._whiteouts and base.startswith(_WHITEOUT):
                self._whiteout(parent, base)
            else:
                self._make(tar, info, parent, base)
                if info.isdir():
                    self._times[name] = info.mtime
        finally:
            os.close(parent)

    def _directory(self, path: str) -> int:
        try:
            return open_in_root(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            head, _, base = path.rpartition("/")
        parent = self._directory(head)
        try:
            os.mkdir(base, 0o755, dir_fd=parent)
        finally:
            os.close(parent)
        return open_in_root(self._root, path, os.O_RDONLY | os.O_DIRECTORY)

    def _whiteout(self, parent: int, base: str) -> None:
        if base == ".wh..wh..opq":
            os.setxattr(parent, _OPAQUE, b"y")
            return
        hidden = base.removeprefix(_WHITEOUT)
        if hidden in ("", ".", "..") or hidden.startswith(_WHITEOUT):
            raise CorruptStateError(f"malformed whiteout {base!r}")
        found = _mode(parent, hidden)
        if found is None:
            os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent)
        elif stat.S_ISDIR(found):  # the same layer deletes the lower one and makes it anew
            os.setxattr(_through(parent, hidden), _OPAQUE, b"y", follow_symlinks=False)

    def _make(self, tar: tarfile.TarFile, info: tarfile.TarInfo, parent: int, base: str) -> None:
        found = _mode(parent, base)
        if found is not None and not (info.isdir() and stat.S_ISDIR(found)):
            _remove(parent, base, found)
            found = None if not stat.S_ISCHR(found) else found
        if info.islnk():
            self._link(info, parent, base)
            return
        if info.isdir():
            if found is None or stat.S_ISCHR(found):
                os.mkdir(base, 0o700, dir_fd=parent)
            if found is not None and stat.S_ISCHR(found):
                os.setxattr(_through(parent, base), _OPAQUE, b"y", follow_symlinks=False)
        elif info.issym():
            os.symlink(info.linkname, base, dir_fd=parent)
        elif info.isfifo():
            os.mkfifo(base, 0o600, dir_fd=parent)
        elif info.isreg():
            fd = os.open(base, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=parent)
            with os.fdopen(fd, "wb") as target:
                shutil.copyfileobj(tar.extractfile(info), target, 1 << 20)  # type: ignore[arg-type]
        else:
            raise UnsupportedError(f"entry {info.name!r}: device nodes in image layers are refused")
        self._attributes(parent, base, info)

    def _link(self, info: tarfile.TarInfo, parent: int, base: str) -> None:
        head, _, name = _clean(info.linkname).rpartition("/")
        try:
            source = open_in_root(self._root, head, os.O_PATH | os.O_DIRECTORY)
            try:
                os.link(name, base, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
            finally:
                os.close(source)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise CorruptStateError(f"hard link {info.name!r} to {info.linkname!r}, which is not there") from error

    @staticmethod
    def _attributes(parent: int, base: str, info: tarfile.TarInfo) -> None:
        os.chown(base, info.uid, info.gid, dir_fd=parent, follow_symlinks=False)
        if not info.issym():  # after chown(2), which clears the set-user-id bits
            os.chmod(base, info.mode & 0o7777, dir_fd=parent)
        for key, value in info.pax_headers.items():
            name = key.removeprefix(_XATTR)
            if name == key or name.startswith("trusted.overlay."):
                continue
            try:
                data = value.encode("utf-8", "surrogateescape")
                os.setxattr(_through(parent, base), name, data, follow_symlinks=False)
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.EPERM):
                    raise
        os.utime(base, (info.mtime, info.mtime), dir_fd=parent, follow_symlinks=False)

    def _stamp(self, name: str, when: float) -> None:
        try:
            fd = open_in_root(self._root, name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # a later entry of the same layer replaced the directory
            return
        try:
            os.utime(fd, (when, when))
        finally:
            os.close(fd)


def _clean(name: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise CorruptStateError(f"entry {name!r} of a layer leads out of it")
    if len(parts) > _MAX_DEPTH:
        raise CorruptStateError(f"an entry of a layer lies more than {_MAX_DEPTH} directories deep")
    return "/".join(parts)


def _mode(parent: int, base: str) -> int | None:
    try:
        return os.stat(base, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def _remove(parent: int, base: str, mode: int) -> None:
    if stat.S_ISDIR(mode):
        shutil.rmtree(base, dir_fd=parent)
    else:
        os.unlink(base, dir_fd=parent)


def _through(parent: int, base: str) -> str:
    return f"/proc/self/fd/{parent}/{base}"
