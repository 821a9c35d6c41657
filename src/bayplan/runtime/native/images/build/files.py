"""Files of a build context, or of a stage, read beneath their root: no link leads out of it (openat2(2))."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from bayplan.errors import UnsupportedError
from bayplan.runtime.dockerfile.ignore import Ignore, translate
from bayplan.runtime.native.images.build.repositories import Repositories
from bayplan.runtime.native.images.build.stats import Stats
from bayplan.runtime.native.images.build.urls import Urls
from bayplan.system.beneath import open_in_root

_CHUNK = 1 << 20
_GLOB = frozenset("*?[")
MAX_DEPTH = 300
"""Directories that may lie in each other."""


@dataclass(frozen=True)
class Entry:
    """One file, directory or link below a copied source.

    ``name`` is relative to the source (empty: the source itself), ``at`` to the root; ``content`` is a file's sha256
    or a link's target. ``kind`` is file, directory, link, or archive: a file that is unpacked.
    """

    name: str
    at: str
    kind: str
    mode: int
    content: str = ""
    uid: int = 0
    gid: int = 0
    xattrs: tuple[tuple[str, str], ...] = ()
    data: bytes | None = None
    """What a file holds that stands in the Dockerfile itself."""
    url: str = ""
    """Where a file or tree is fetched from. Until it was, ``content`` of a file is empty, and a tree's kind is git."""
    root: Path | None = None
    """What ``at`` is relative to, when that is not the context."""
    link: str = ""
    """The name of the link by which a file was named: it goes by that, not by the name of what the link leads to."""

    @property
    def base(self) -> str:
        """The name that a source which is no directory has at its destination."""
        return self.link or self.at.rpartition("/")[2]

    @classmethod
    def written(cls, name: str, text: str) -> Entry:
        """A file whose text stands in the Dockerfile."""
        data = text.encode()
        return cls("", name, "file", 0o644, hashlib.sha256(data).hexdigest(), data=data)


def content_key(groups: Iterable[tuple[Entry, ...]]) -> str:
    """A digest of names, kinds, modes, owners and data; neither of times nor of where the root is."""
    found = hashlib.sha256()
    for group in groups:
        for item in group:
            top = item.base if not item.name else ""
            row = [top, item.name, item.kind, item.mode, item.content, item.uid, item.gid, item.xattrs]
            found.update(json.dumps(row).encode() + b"\n")
    return found.hexdigest()


class Files:
    """A directory read as the root of all names in it. ``foreign`` takes owners and extended attributes along."""

    def __init__(
        self,
        root: Path,
        ignore: Ignore | None = None,
        *,
        foreign: bool = False,
        urls: Urls | None = None,
        stats: Stats | None = None,
        repositories: Repositories | None = None,
    ) -> None:
        self._ignore = ignore or Ignore()
        self._foreign, self.urls, self._stats, self.repositories = foreign, urls, stats, repositories
        self.fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._root = Path(f"/proc/self/fd/{self.fd}").readlink()

    def __enter__(self) -> Files:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)

    def match(self, pattern: str) -> tuple[str, ...]:
        """The paths a source names, sorted; itself when it has no wildcard. Raises ValueError for a bad pattern."""
        parts = [part for part in pattern.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise ValueError(f"{pattern!r} leads out of the context")
        if not _GLOB.intersection(pattern):
            return ("/".join(parts),)
        found = [""]
        for part in parts:
            if not _GLOB.intersection(part):
                found = [f"{head}/{part}".lstrip("/") for head in found]
                continue
            if part == "**":
                found = [item for head in found for item in self._directories(head)]
                continue
            wanted = translate(part)
            found = [
                f"{head}/{name}".lstrip("/") for head in found for name in self._names(head) if wanted.fullmatch(name)
            ]
        return tuple(item for item in sorted(found) if self.exists(item))

    def exists(self, path: str) -> bool:
        """Whether the path is there and not left out."""
        return self.alone(path) is not None

    def entries(self, path: str) -> tuple[Entry, ...]:
        """The source and all below it, directories before their content; empty when it is not there or left out.

        Raises UnsupportedError for what is no file, directory or link.
        """
        return tuple(self._entries(path, self._digest))

    def open(self, entry: Entry) -> int:
        """A descriptor of a regular file's content. Raises OSError."""
        if entry.data is not None:
            return _in_memory(entry.data)
        if entry.root is not None:
            return _below(entry.root, entry.at)
        if entry.url and self.urls is not None:
            return self.urls.open(entry.url, entry.content)
        return open_in_root(self.fd, entry.at, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)

    def alone(self, path: str) -> Entry | None:
        """The source without what is below it, and without a file's digest; None when it is not there or left out."""
        return next(iter(self._entries(path, None)), None)

    def _directories(self, path: str) -> list[str]:
        """A directory and all below it; links are none."""
        check_depth(path)
        found = [path]
        for name in self._names(path):
            inner = f"{path}/{name}".lstrip("/")
            try:
                os.close(open_in_root(self.fd, inner, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW))
            except OSError:
                continue
            found += self._directories(inner)
        return found

    def _names(self, path: str) -> list[str]:
        try:
            fd = open_in_root(self.fd, path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return []
        try:
            return sorted(os.listdir(fd))  # noqa: PTH208 - of a descriptor
        finally:
            os.close(fd)

    def _entries(self, path: str, digest: Callable[[str, os.stat_result], str] | None) -> Iterator[Entry]:
        try:
            fd = open_in_root(self.fd, path, os.O_PATH)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return
            raise
        try:
            # A link that is named itself stands for what it leads to: there the ignore rules must hold as well.
            real = os.path.relpath(Path(f"/proc/self/fd/{fd}").readlink(), self._root)
            at = "" if real == "." else real
            found = os.fstat(fd)
        finally:
            os.close(fd)
        if stat.S_ISDIR(found.st_mode):
            yield from self._directory("", at, found, digest)
        elif not self._ignore(at):
            entry, named = self._entry("", at, found, digest), path.rstrip("/").rpartition("/")[2]
            yield entry if named == entry.base else replace(entry, link=named)

    def _directory(
        self, name: str, at: str, found: os.stat_result, digest: Callable[[str, os.stat_result], str] | None
    ) -> Iterator[Entry]:
        left_out = bool(at) and self._ignore(at)
        if left_out and not self._ignore.has_exceptions:
            return
        check_depth(at)
        own = self._entry(name, at, found, digest)
        if not left_out:
            yield own
        if digest is None and not left_out:
            return
        fd = open_in_root(self.fd, at, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            rows = [(item, os.stat(item, dir_fd=fd, follow_symlinks=False)) for item in sorted(os.listdir(fd))]  # noqa: PTH208
        finally:
            os.close(fd)
        for item, status in rows:
            inner, where = f"{name}/{item}".lstrip("/"), f"{at}/{item}".lstrip("/")
            if stat.S_ISDIR(status.st_mode):
                below = self._directory(inner, where, status, digest)
            else:
                below = iter(() if self._ignore(where) else (self._entry(inner, where, status, digest),))
            for entry in below:
                if left_out:
                    yield own
                    left_out = False
                yield entry

    def _entry(
        self, name: str, at: str, found: os.stat_result, digest: Callable[[str, os.stat_result], str] | None
    ) -> Entry:
        mode, content = stat.S_IMODE(found.st_mode), ""
        if stat.S_ISDIR(found.st_mode):
            kind = "directory"
        elif stat.S_ISLNK(found.st_mode):
            kind, mode = "link", 0o777
            content = self._target(at)
        elif stat.S_ISREG(found.st_mode):
            kind, content = "file", digest(at, found) if digest else ""
        else:
            raise UnsupportedError(f"{at} is no file, directory or link", hint="leave it out with .dockerignore")
        if not self._foreign:
            return Entry(name, at, kind, mode, content)
        return Entry(name, at, kind, mode, content, found.st_uid, found.st_gid, self._xattrs(at))

    def _target(self, at: str) -> str:
        head, _, base = at.rpartition("/")
        fd = open_in_root(self.fd, head, os.O_PATH | os.O_DIRECTORY)
        try:
            return os.readlink(base, dir_fd=fd)
        finally:
            os.close(fd)

    def _digest(self, at: str, found: os.stat_result) -> str:
        known = self._stats.get(at, found) if self._stats else None
        if known is not None:
            return known
        fd = open_in_root(self.fd, at, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        digest = hashlib.sha256()
        try:
            opened = os.fstat(fd)
            while chunk := os.read(fd, _CHUNK):
                digest.update(chunk)
        finally:
            os.close(fd)
        if self._stats:
            self._stats.put(at, opened, digest.hexdigest())
        return digest.hexdigest()

    def _xattrs(self, at: str) -> tuple[tuple[str, str], ...]:
        fd = open_in_root(self.fd, at, os.O_PATH | os.O_NOFOLLOW)
        try:
            path = f"/proc/self/fd/{fd}"
            if stat.S_ISLNK(os.fstat(fd).st_mode):
                return ()
            names = [name for name in sorted(os.listxattr(path)) if not name.startswith("trusted.")]
            return tuple((name, os.getxattr(path, name).hex()) for name in names)
        finally:
            os.close(fd)


def check_depth(path: str) -> None:
    """Raises UnsupportedError for directories that lie too deep in each other."""
    if path.count("/") >= MAX_DEPTH:
        what = f"/{path[:60]}... lies more than {MAX_DEPTH} directories deep"
        raise UnsupportedError(what, hint="leave it out with .dockerignore, or remove it in the step that makes it")


def _below(root: Path, at: str) -> int:
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return open_in_root(top, at, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    finally:
        os.close(top)


def _in_memory(data: bytes) -> int:
    fd = os.memfd_create("bayplan")
    with os.fdopen(fd, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
