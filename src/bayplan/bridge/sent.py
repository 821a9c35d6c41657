"""Files that the asker of a request has and this host has not: a project's directory, brought up to date.

``stack.sent`` of a request is ``{"key", "files": [{"path", "mode", "sha256", "size"} or {"path", "link"}]}``. Contents
that this host lacks are answered by ``{"missing": [sha256, ...]}``; nothing is done then. The verb ``send`` brings them
(option ``contents``: sha256 to base64 of zlib), in as many requests as the asker likes; then the first is asked again.
The directory of a key stays the same from one request to the next, since containers may have it mounted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from bayplan import engines
from bayplan.bridge.rooms import Asked
from bayplan.errors import DeclarationError, UnsupportedError
from bayplan.models import Settings
from bayplan.system import files, mounts, namespaces

T = TypeVar("T")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_HASH = re.compile(r"[0-9a-f]{64}")


def send(asked: Asked) -> dict[str, Any]:
    """Keep contents until the request that needs them. Raises DeclarationError for what is not what it says."""
    contents = {}
    for digest, packed in (asked.options.get("contents") or {}).items():
        try:
            data = zlib.decompress(base64.b64decode(packed, validate=True))
        except (binascii.Error, zlib.error, TypeError) as error:
            raise DeclarationError(f"content {digest}: {error}", where="request") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise DeclarationError(f"content {digest} has another digest", where="request")
        contents[digest] = data
    keep(engines.chosen(asked.settings), contents)
    return {"changed": False, "plan": None, "diff": None, "result": None}


def keep(settings: Settings, contents: Mapping[str, bytes]) -> None:
    """Keep contents, by their digests, until the request that needs them."""
    waiting = _waiting(settings)
    files.private_directory(waiting)
    for digest, data in contents.items():
        files.atomic_write(waiting / digest, data, durable=False)


class Sent:
    """The files of one request, held against what this host has of them."""

    def __init__(self, given: Mapping[str, Any], settings: Settings) -> None:
        """Raises DeclarationError for a key or a path that could reach something else."""
        key = str(given.get("key"))
        if not _KEY.fullmatch(key):
            raise DeclarationError(f"{key!r} is no name of a directory", where="request")
        self.wanted = {str(item["path"]): item for item in given.get("files") or ()}
        links = {path for path, item in self.wanted.items() if "link" in item}
        for path, item in self.wanted.items():
            pure = PurePosixPath(path)
            above = {str(parent) for parent in pure.parents}
            if pure.is_absolute() or ".." in pure.parts or str(pure) != path or path == "." or above & links:
                raise DeclarationError(f"{path!r} is no path within the project's directory", where="request")
            if "link" not in item and not _HASH.fullmatch(str(item.get("sha256"))):
                raise DeclarationError(f"{path!r} has no digest", where="request")
        self.directory = settings.state_root / "sent" / key
        self._index = self.directory.with_name(f".{key}.json")
        self._waiting = _waiting(settings)
        self._indexed: set[str] = set()
        self._known = self._read_index()
        self.written = sorted(path for path, item in self.wanted.items() if self._known.get(path) != _identity(item))
        self.removed = sorted(self._indexed - set(self.wanted))

    @property
    def changed(self) -> bool:
        """Whether the directory is other than it was sent."""
        return bool(self.written or self.removed)

    def missing(self) -> list[str]:
        """Contents that are neither here nor were received."""
        held = {one[0] for one in self._known.values()}
        wanted = {self.wanted[path].get("sha256") for path in self.written} - held - {None}
        return sorted(str(one) for one in wanted if not (self._waiting / str(one)).is_file())

    def write(self) -> None:
        """Bring the directory up to date: each file at once, by a rename."""
        files.private_directory(self.directory.parent)
        with files.locked(self._index.with_suffix(".lock"), f"files of {self.directory.name}"):
            self.directory.mkdir(exist_ok=True)
            self.directory.chmod(0o755)
            self._arrange(self.directory)
            self._write_index()
        shutil.rmtree(self._waiting, ignore_errors=True)

    def foreseen(self, work: Callable[[], T]) -> T:
        """Run ``work``, which sees the directory up to date while nothing is. Raises UnsupportedError without root."""
        if not self.changed:
            return work()
        if os.geteuid() != 0:
            raise UnsupportedError("to foresee files that were not sent yet needs root", hint="become: true")
        is_new = not self.directory.exists()
        files.private_directory(self.directory)
        with tempfile.TemporaryDirectory(prefix=".check-", dir=self.directory.parent) as scratch:
            copy = Path(scratch) / "tree"
            shutil.copytree(self.directory, copy, symlinks=True, copy_function=os.link)
            self._arrange(copy)

            def seeing() -> T:
                mounts.bind(str(copy), str(self.directory))
                return work()

            try:
                return namespaces.in_private_mounts(seeing)
            finally:
                shutil.rmtree(self._waiting, ignore_errors=True)
                if is_new:
                    self.directory.rmdir()

    def forget(self) -> None:
        """Remove the directory and what is known of it."""
        shutil.rmtree(self.directory, ignore_errors=True)
        for path in (self._index, self._index.with_suffix(".lock")):
            path.unlink(missing_ok=True)

    def _arrange(self, top: Path) -> None:
        # Contents that only move within the directory are read before their old place is written anew.
        moved = {}
        sources = {identity[0]: path for path, identity in self._known.items() if identity[0]}
        for path in self.written:
            digest = self.wanted[path].get("sha256")
            if digest in sources and not (self._waiting / str(digest)).is_file():
                moved[digest] = (top / sources[digest]).read_bytes()
        for path in self.removed:
            (top / path).unlink(missing_ok=True)
            for parent in (top / path).relative_to(top).parents:
                with suppress(OSError):  # it has other files
                    if parent != Path():
                        (top / parent).rmdir()
        for path in self.written:
            self._place(top, top / path, self.wanted[path], moved)

    def _place(self, top: Path, target: Path, item: Mapping[str, Any], moved: Mapping[str, bytes]) -> None:
        for parent in reversed(target.relative_to(top).parents[:-1]):
            if not (top / parent).is_dir():
                (top / parent).mkdir()
                (top / parent).chmod(0o755)  # as on a host where nobody thought of it: containers may look
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        if "link" in item:
            target.unlink(missing_ok=True)
            target.symlink_to(str(item["link"]))
            return
        digest = str(item["sha256"])
        data = moved[digest] if digest in moved else (self._waiting / digest).read_bytes()
        files.atomic_write(target, data, durable=False)
        target.chmod(int(item.get("mode", 0o644)) & 0o777)

    def _read_index(self) -> dict[str, tuple[Any, ...]]:
        """Path to identity, of files that nobody has touched since: others are taken for not there."""
        try:
            kept = json.loads(self._index.read_bytes())
        except (OSError, ValueError):
            return {}
        self._indexed = set(kept)
        return {path: tuple(one["is"]) for path, one in kept.items() if one["as"] == _look(self.directory / path)}

    def _write_index(self) -> None:
        kept = {path: {"is": _identity(item), "as": _look(self.directory / path)} for path, item in self.wanted.items()}
        files.atomic_write(self._index, json.dumps(kept).encode(), durable=False)


def _waiting(settings: Settings) -> Path:
    return settings.state_root / "sent" / ".waiting"


def _identity(item: Mapping[str, Any]) -> tuple[Any, ...]:
    return item.get("sha256"), int(item.get("mode", 0o644)) & 0o777, item.get("link")


def _look(path: Path) -> list[int] | None:
    """What changes with a file, as Git's index knows it, without reading it."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return [found.st_ino, found.st_size, found.st_mtime_ns, stat.S_IMODE(found.st_mode)]
