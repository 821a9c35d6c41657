"""Files copied into the merged file system of a step (Dockerfile reference, "COPY").

Directories on the way are resolved inside that file system (openat2(2)), so ``/bin -> usr/bin`` is followed and nothing
leads out of it. Below the destination links are replaced, never followed.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from bayplan.errors import RuntimeFailureError, StalePlanError
from bayplan.runtime.native.images.build import unpack
from bayplan.runtime.native.images.build.files import Entry, Files
from bayplan.runtime.native.images.build.modes import Mode
from bayplan.system.beneath import open_in_root

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Target:
    """Where copies go and what they become. ``owner`` None keeps the entries' own."""

    root: int
    path: str
    into: bool
    owner: tuple[int, int] | None
    mode: Mode | None
    epoch: int
    chosen: tuple[int, int] | None = None
    """The owner that ``--chown`` named: what an archive holds belongs to it too."""


def copy(files: Files, groups: Sequence[tuple[Entry, ...]], target: Target) -> None:
    """Copy each source with all below it. Raises StalePlanError when a file changed since it was looked at."""
    for group in groups:
        top = group[0]
        if top.kind == "directory":
            _tree(files, group, target)
            continue
        if top.kind == "archive":
            _archive(files, top, target)
            continue
        path = target.path
        if target.into or _is_directory(target.root, path):
            path = posixpath.join(path, top.base)
        parent = make_directories(target.root, posixpath.dirname(path), target.owner or (0, 0))
        try:
            _place(files, top, parent, posixpath.basename(path), target)
        finally:
            os.close(parent)


def make_directories(root: int, path: str, owner: tuple[int, int] = (0, 0)) -> int:
    """Open a directory below ``root``, making what is missing with mode 0755. The caller closes it."""
    try:
        return open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        pass
    except NotADirectoryError as error:
        raise RuntimeFailureError(f"{path} is no directory in the image") from error
    parent = make_directories(root, posixpath.dirname(path.rstrip("/")), owner)
    try:
        base = posixpath.basename(path.rstrip("/"))
        os.mkdir(base, 0o755, dir_fd=parent)
        os.chmod(base, 0o755, dir_fd=parent)  # noqa: S103 - a directory of the image; whatever the umask
        os.chown(base, *owner, dir_fd=parent, follow_symlinks=False)
    except FileExistsError as error:
        raise RuntimeFailureError(f"{path} is a link that leads nowhere in the image") from error
    finally:
        os.close(parent)
    return open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY)


def _tree(files: Files, group: tuple[Entry, ...], target: Target) -> None:
    top, *below = group
    existed = _is_directory(target.root, target.path)
    root = make_directories(target.root, target.path, target.owner or (0, 0))
    try:
        if not existed:
            _attributes(root, ".", top, target)
        _below(files, below, root, target)
    finally:
        os.close(root)


def _below(files: Files, entries: Sequence[Entry], root: int, target: Target) -> None:
    parent, opened = -1, ""
    try:
        for entry in entries:
            head, _, base = entry.name.rpartition("/")
            if parent < 0 or head != opened:
                if parent >= 0:
                    os.close(parent)
                    parent = -1
                # Every directory below was made or seen as one by this loop: O_NOFOLLOW holds for the last name only,
                # and the root is the destination itself, so a link of the image cannot lead out of it.
                parent, opened = open_in_root(root, head, os.O_RDONLY | os.O_DIRECTORY), head
            _place(files, entry, parent, base, target)
    finally:
        if parent >= 0:
            os.close(parent)


def _archive(files: Files, entry: Entry, target: Target) -> None:
    """As Docker does: the destination is a directory, and modes and, without ``--chown``, owners are the archive's."""
    root = make_directories(target.root, target.path, target.owner or (0, 0))
    try:
        if unpack.unpack(files.open(entry), root, entry.at, target.chosen) != entry.content:
            raise StalePlanError(f"{entry.at} changed while the image was built", hint="build again")
    finally:
        os.close(root)


def _place(files: Files, entry: Entry, parent: int, base: str, target: Target) -> None:
    found = _mode(parent, base)
    if entry.kind == "directory":
        if found is not None and stat.S_ISDIR(found):
            return
        if found is not None:
            raise RuntimeFailureError(f"{entry.at} is a directory, in the image there is a file of that name")
        os.mkdir(base, 0o700, dir_fd=parent)
    else:
        if found is not None and stat.S_ISDIR(found):
            raise RuntimeFailureError(f"{entry.at} is a file, in the image there is a directory of that name")
        if found is not None:
            os.unlink(base, dir_fd=parent)
        if entry.kind == "link":
            os.symlink(entry.content, base, dir_fd=parent)
        else:
            _data(files, entry, parent, base)
    _attributes(parent, base, entry, target)


def _data(files: Files, entry: Entry, parent: int, base: str) -> None:
    fd = os.open(base, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=parent)
    found = hashlib.sha256()
    try:
        source = files.open(entry)
        try:
            while chunk := os.read(source, _CHUNK):
                found.update(chunk)
                done = os.write(fd, chunk)
                while done < len(chunk):
                    done += os.write(fd, chunk[done:])
        finally:
            os.close(source)
    finally:
        os.close(fd)
    if found.hexdigest() != entry.content:
        raise StalePlanError(f"{entry.at} changed while the image was built", hint="build again")


def _attributes(parent: int, base: str, entry: Entry, target: Target) -> None:
    owner = target.owner if target.owner is not None else (entry.uid, entry.gid)
    os.chown(base, *owner, dir_fd=parent, follow_symlinks=False)
    if entry.kind != "link":  # after chown(2), which clears the set-user-id bits
        mode = target.mode.of(entry.mode, is_directory=entry.kind == "directory") if target.mode else entry.mode
        os.chmod(base, mode, dir_fd=parent)
    for name, value in entry.xattrs:
        os.setxattr(f"/proc/self/fd/{parent}/{base}", name, bytes.fromhex(value), follow_symlinks=False)
    # Not the context's times: a fresh checkout of the same files gives the same layer.
    os.utime(base, (target.epoch, target.epoch), dir_fd=parent, follow_symlinks=False)


def _is_directory(root: int, path: str) -> bool:
    try:
        os.close(open_in_root(root, path, os.O_PATH | os.O_DIRECTORY))
    except OSError:
        return False
    return True


def _mode(parent: int, base: str) -> int | None:
    try:
        return os.stat(base, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
