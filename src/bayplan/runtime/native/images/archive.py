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

from bayplan.errors import CorruptStateError, UnsupportedError
from bayplan.runtime.native.images.tar_stream import Entry, Readable, TarStream
from bayplan.system.beneath import open_in_root

MAX_ENTRIES = 2_000_000
MAX_BYTES = 256 << 30
_OPAQUE = "trusted.overlay.opaque"
_WHITEOUT = ".wh."
_MAX_DEPTH = 500
_MAX_ID = (1 << 32) - 2  # chown(2) takes the highest number for "leave it"
_MAX_TIME = 1 << 62  # ns
_MAX_OPEN = 64
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_IMPOSSIBLE = frozenset((errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EEXIST, errno.EXDEV, errno.EMLINK))
"""What an archive asks for that no directory of its own can hold."""


class Unpacker:
    """Unpack tar streams below ``root_fd``. ``max_entries`` and ``max_bytes`` bound what one layer may make.

    ``whiteouts`` False takes names that mark deletions in a layer for plain names; ``owner`` goes before the owners
    that the archive says. Nobody else may write there.
    """

    def __init__(
        self,
        root_fd: int,
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        whiteouts: bool = True,
        owner: tuple[int, int] | None = None,
    ) -> None:
        self._root = root_fd
        self._owner = owner
        self._whiteouts = whiteouts
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._times: dict[str, int] = {}
        self._open: dict[str, int] = {}
        """Directories by name."""
        self._is_stale = False
        """Something was taken away since: the same names may lead elsewhere."""

    def unpack(self, stream: Readable) -> None:
        """Write all entries. Raises CorruptStateError or UnsupportedError naming the entry, ValueError, OSError."""
        total = 0
        tar = TarStream(stream)
        try:
            for count, entry in enumerate(tar, start=1):
                total += entry.size
                if count > self._max_entries or total > self._max_bytes:
                    raise CorruptStateError(
                        f"layer is larger than {self._max_entries} entries, {self._max_bytes} bytes"
                    )
                try:
                    self._entry(tar, entry)
                except OSError as error:
                    if error.errno in _IMPOSSIBLE:
                        raise CorruptStateError(f"entry {entry.name[:200]!r}: {error.strerror}") from error
                    raise
        finally:
            self._forget()
        for name, when in self._times.items():
            self._stamp(name, when)

    def _entry(self, tar: TarStream, entry: Entry) -> None:
        if not (0 <= entry.uid <= _MAX_ID and 0 <= entry.gid <= _MAX_ID) or abs(entry.mtime) > _MAX_TIME:
            raise CorruptStateError(f"entry {entry.name!r} has an impossible owner or time")
        if self._owner:
            entry.uid, entry.gid = self._owner
        name = clean(entry.name)
        if not name:
            if entry.kind != "directory":
                raise CorruptStateError(f"entry {entry.name!r} would replace the root by a {entry.kind}")
            self._attributes(self._root, ".", entry)
            self._times[""] = entry.mtime
            return
        head, _, base = name.rpartition("/")
        if self._whiteouts and (head.startswith(_WHITEOUT) or f"/{_WHITEOUT}" in head):
            raise CorruptStateError(f"entry {entry.name!r} lies below a whiteout")
        parent = self._directory(head)
        if self._whiteouts and base.startswith(_WHITEOUT):
            self._whiteout(parent, base)
        elif entry.kind == "file":
            self._file(tar, entry, parent, base)
        else:
            self._make(entry, parent, base)
            if entry.kind == "directory":
                self._times[name] = entry.mtime

    def _directory(self, path: str) -> int:
        if self._is_stale:
            self._forget()
        found = self._open.get(path)
        if found is None:
            if len(self._open) >= _MAX_OPEN:
                self._forget()
            found = self._open[path] = self._opened(path)
        return found

    def _opened(self, path: str) -> int:
        try:
            return open_in_root(self._root, path, _DIRECTORY)
        except FileNotFoundError:
            head, _, base = path.rpartition("/")
        parent = self._opened(head)
        try:
            os.mkdir(base, 0o755, dir_fd=parent)
        finally:
            os.close(parent)
        fd = open_in_root(self._root, path, _DIRECTORY)
        os.fchmod(fd, 0o755)  # whatever the umask
        return fd

    def _forget(self) -> None:
        self._is_stale = False
        while self._open:
            os.close(self._open.popitem()[1])

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

    def _file(self, tar: TarStream, entry: Entry, parent: int, base: str) -> None:
        try:
            fd = os.open(base, _CREATE, 0o600, dir_fd=parent)
        except FileExistsError:
            self._remove(parent, base)
            fd = os.open(base, _CREATE, 0o600, dir_fd=parent)
        try:
            tar.copy(entry, fd)
            os.fchown(fd, entry.uid, entry.gid)
            os.fchmod(fd, entry.mode)  # after chown(2), which clears the set-user-id bits
            for key, value in entry.xattrs.items():
                _set(fd, key, value)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)

    def _make(self, entry: Entry, parent: int, base: str) -> None:
        found = _mode(parent, base)
        if found is not None and not (entry.kind == "directory" and stat.S_ISDIR(found)):
            self._remove(parent, base)
            found = None if not stat.S_ISCHR(found) else found
        if entry.kind == "link":
            self._link(entry, parent, base)
            return
        if entry.kind == "directory":
            if found is None or stat.S_ISCHR(found):
                os.mkdir(base, 0o700, dir_fd=parent)
            if found is not None and stat.S_ISCHR(found):
                os.setxattr(_through(parent, base), _OPAQUE, b"y", follow_symlinks=False)
        elif entry.kind == "symlink":
            os.symlink(entry.link, base, dir_fd=parent)
        elif entry.kind == "fifo":
            os.mkfifo(base, 0o600, dir_fd=parent)
        else:
            raise UnsupportedError(f"entry {entry.name!r}: a {entry.kind} in an image layer is refused")
        self._attributes(parent, base, entry)

    def _remove(self, parent: int, base: str) -> None:
        mode = _mode(parent, base)
        if mode is not None and stat.S_ISDIR(mode):
            shutil.rmtree(base, dir_fd=parent)
        else:
            os.unlink(base, dir_fd=parent)
        self._is_stale = True

    def _link(self, entry: Entry, parent: int, base: str) -> None:
        head, _, name = clean(entry.link).rpartition("/")
        try:
            source = open_in_root(self._root, head, os.O_PATH | os.O_DIRECTORY)
            try:
                os.link(name, base, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
            finally:
                os.close(source)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise CorruptStateError(f"hard link {entry.name!r} to {entry.link!r}, which is not there") from error

    @staticmethod
    def _attributes(parent: int, base: str, entry: Entry) -> None:
        os.chown(base, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if entry.kind != "symlink":  # after chown(2), which clears the set-user-id bits
            os.chmod(base, entry.mode, dir_fd=parent)
        for key, value in entry.xattrs.items():
            _set(_through(parent, base), key, value)
        os.utime(base, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def _stamp(self, name: str, when: int) -> None:
        try:
            fd = open_in_root(self._root, name, _DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # a later entry of the same layer replaced the directory
            return
        try:
            os.utime(fd, ns=(when, when))
        finally:
            os.close(fd)


def _set(target: int | str, name: str, value: bytes) -> None:
    """An extended attribute. Those of the overlay are its own to give, and a file system may not have the others."""
    if name.startswith("trusted.overlay."):
        return
    try:
        if isinstance(target, int):
            os.setxattr(target, name, value)
        else:
            os.setxattr(target, name, value, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.EPERM):
            raise


def clean(name: str) -> str:
    """A name of an archive without what says nothing. Raises CorruptStateError for one that leads out of it."""
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


def _through(parent: int, base: str) -> str:
    return f"/proc/self/fd/{parent}/{base}"
