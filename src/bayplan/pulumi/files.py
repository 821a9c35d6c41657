"""Files of the program: where its relative paths are, and how they come to a host by SSH (``bayplan.bridge.sent``)."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bayplan.errors import DeclarationError, NotFoundError
from bayplan.models.git_url import parse
from bayplan.runtime.dockerfile.ignore import Ignore

_NEVER = frozenset((".git",))
_PACKET_BYTES = 8 << 20
_NOT_OF_A_KEY = re.compile(r"[^A-Za-z0-9_.-]+")


def placed(path: str, directory: Path) -> str:
    """A path of the program as an absolute one; the address of a Git repository stays."""
    if parse(path) is not None:
        return path
    return os.path.normpath(directory / Path(path).expanduser())


def place(name: str) -> str:
    """The name of a directory of the host for the files of something that may be called by any signs."""
    return _NOT_OF_A_KEY.sub("-", name).strip("-._") or "project"


def context(top: Path, dockerfile: str) -> Tree:
    """The files that a build may use, and those that say what these are. Raises DeclarationError."""
    own = (dockerfile, f"{dockerfile}.dockerignore", ".dockerignore")
    rules = next((top / name for name in own[1:] if (top / name).is_file()), None)
    try:
        ignore = Ignore(rules.read_text() if rules else "")
    except ValueError as error:
        raise DeclarationError(str(error), where=str(rules)) from error
    return Tree(top, lambda name: name not in own and ignore(name))


class Tree:
    """A directory with everything in it that is not ``left_out``. Raises NotFoundError when it is none."""

    def __init__(self, top: Path, left_out: Callable[[str], bool] = lambda _: False) -> None:
        self.top, self._left_out = top, left_out
        self._sources: dict[str, Path] = {}
        if not top.is_dir():
            raise NotFoundError("is no directory", where=str(top))
        files = (found for path in self._paths() if (found := self._file(path)) is not None)
        self.files = sorted(files, key=lambda one: str(one["path"]))

    def request(self, key: str) -> dict[str, Any]:
        """What the bridge is told: the files, and a name for their place there."""
        return {"key": place(key), "files": self.files}

    def batches(self, digests: Sequence[str]) -> Iterator[dict[str, str]]:
        """Contents, in packets that are no burden. Raises DeclarationError when a file was changed meanwhile."""
        packet, size = dict[str, str](), 0
        for digest in digests:
            data = self._sources[digest].read_bytes()
            if hashlib.sha256(data).hexdigest() != digest:
                raise DeclarationError("was changed while it was sent", where=str(self._sources[digest]))
            packet[digest] = base64.b64encode(zlib.compress(data, 1)).decode()
            size += len(packet[digest])
            if size > _PACKET_BYTES:
                yield packet
                packet, size = {}, 0
        if packet:
            yield packet

    def _paths(self) -> Iterator[Path]:
        for folder, folders, names in os.walk(self.top):
            links = {name for name in folders if (Path(folder) / name).is_symlink()}
            folders[:] = sorted(set(folders) - links - _NEVER)
            yield from (Path(folder) / name for name in sorted({*names, *links} - _NEVER))

    def _file(self, path: Path) -> dict[str, Any] | None:
        """One entry; None for one that is left out, and for a socket or a pipe, which cannot be sent."""
        name = path.relative_to(self.top).as_posix()
        if self._left_out(name):
            return None
        if path.is_symlink():
            return {"path": name, "link": str(path.readlink())}
        if not path.is_file():
            return None
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        self._sources[digest] = path
        status = path.stat()
        return {"path": name, "mode": status.st_mode & 0o777, "sha256": digest, "size": status.st_size}
