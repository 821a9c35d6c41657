"""The files of a build: what of a directory its Dockerfile may use, as a tar, and what decides what comes out."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bayplan.errors import DeclarationError, Location, NotFoundError, UnsupportedError
from bayplan.models import Build
from bayplan.runtime.dockerfile.ignore import Ignore

_PIECE = 1 << 20
INLINE = "Dockerfile.bayplan"
"""Name in the tar of a Dockerfile that is not a file of the context."""


@dataclass(frozen=True)
class Context:
    """A directory as its ``.dockerignore`` leaves it, and a Dockerfile. ``dockerfile`` is its name in the tar."""

    top: Path
    dockerfile: str
    text: str
    file: str
    """The Dockerfile's name in messages."""
    paths: tuple[str, ...]
    inline: bool

    @classmethod
    def read(cls, declared: Build) -> Context:
        """Raises NotFoundError and DeclarationError naming the file. Contents are read later."""
        top = Path(declared.context)
        if not top.is_absolute():
            raise UnsupportedError(
                f"build.context: the engine's own builder is given directories alone, not {declared.context}",
                hint="build it with Bayplan's own builder: setting builder",
            )
        if not top.is_dir():
            raise NotFoundError(f"build context {top} is no directory", hint="look at build.context")
        outside = declared.dockerfile_inline is not None or _is_outside(top, declared.dockerfile)
        path = top / declared.dockerfile
        try:
            text = declared.dockerfile_inline if declared.dockerfile_inline is not None else path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            what = f"Dockerfile {path} cannot be read: {error}"
            raise NotFoundError(what, hint="look at build.dockerfile") from error
        label = "dockerfile_inline" if declared.dockerfile_inline is not None else str(path)
        name = INLINE if outside else os.path.normpath(declared.dockerfile)
        ignore = _ignore(top, declared)
        paths = tuple(sorted(_below(top, "", ignore, keep=frozenset((name,)))))
        return cls(top, name, text, label, paths, outside)

    def fingerprint(self) -> str:
        """A digest of names, kinds, modes and contents, as hexadecimal digits. Times and owners do not count."""
        digest = hashlib.sha256()
        for path in self.paths:
            found = (self.top / path).lstat()
            kind = stat.S_IFMT(found.st_mode)
            digest.update(f"{path}\0{kind:o}\0{stat.S_IMODE(found.st_mode):o}\0".encode("utf-8", "surrogateescape"))
            if stat.S_ISLNK(found.st_mode):
                digest.update(os.fsencode((self.top / path).readlink()) + b"\0")
            elif stat.S_ISREG(found.st_mode):
                digest.update(_content(self.top / path))
        return digest.hexdigest()

    def write(self, sink: IO[bytes], extra: dict[str, bytes]) -> None:
        """The tar: owners are root, as of a build anywhere; ``extra`` are further files by name."""
        with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in self.paths:
                info = tar.gettarinfo(str(self.top / path), path)
                if info is None or not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
                    continue  # a socket
                info.uid = info.gid = 0
                info.uname = info.gname = ""
                if info.islnk():
                    info.type, info.size = tarfile.REGTYPE, (self.top / path).stat().st_size
                if info.isreg():
                    with (self.top / path).open("rb") as content:
                        tar.addfile(info, content)
                else:
                    tar.addfile(info)
            more = {**extra, **({self.dockerfile: self.text.encode()} if self.inline else {})}
            for name, data in more.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(data), 0o600
                tar.addfile(member, io.BytesIO(data))


def _ignore(top: Path, declared: Build) -> Ignore:
    """That of the Dockerfile, else of the context (Dockerfile reference, "Filename and location")."""
    own = [] if declared.dockerfile_inline is not None else [top / f"{declared.dockerfile}.dockerignore"]
    for path in (*own, top / ".dockerignore"):
        if path.is_file():
            try:
                return Ignore(path.read_text())
            except (ValueError, OSError) as error:
                raise DeclarationError(str(error), where=Location(str(path))) from error
    return Ignore()


def _below(top: Path, path: str, ignore: Ignore, keep: frozenset[str]) -> Iterator[str]:
    """Relative paths; a directory that is left out comes for what an exception, or ``keep``, has in it."""
    with os.scandir(top / path) as entries:
        found = sorted(entries, key=lambda item: item.name)
    for entry in found:
        where = f"{path}/{entry.name}".lstrip("/")
        left_out = ignore(where) and where not in keep
        if not entry.is_dir(follow_symlinks=False):
            if not left_out:
                yield where
            continue
        if left_out and not ignore.has_exceptions and not any(item.startswith(f"{where}/") for item in keep):
            continue
        below = list(_below(top, where, ignore, keep))
        if below or not left_out:
            yield where
        yield from below


def _is_outside(top: Path, dockerfile: str) -> bool:
    return Path(dockerfile).is_absolute() or os.path.normpath(dockerfile).startswith("..")


def _content(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.digest()
