"""A bundle from anywhere, checked whole before anything of it is used.

Refused: members that the index does not list or that are listed twice, names that lead out, links and devices, contents
whose digest or size is another, an archive of images that has other names or digests than the index says, an index
whose declaration has another fingerprint.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from pydantic import ValidationError

from bayplan.errors import CorruptStateError, DeclarationError, NotFoundError, UnsupportedError
from bayplan.resolve import lockfile
from bayplan.resolve.bundle import archive
from bayplan.resolve.bundle.contents import FORMAT, HOME, IMAGES, INDEX, LOCK, Bundle, Member
from bayplan.resolve.canonical import Canon
from bayplan.resolve.fingerprint import fingerprint
from bayplan.runtime.native.images.reading import GuardedInfo

_MAX_INDEX = 64 << 20
_MAX_MEMBERS = 100_000
_PIECE = 1 << 20


class OpenBundle:
    """One that was checked. Contents are read from the file, which must not change meanwhile."""

    def __init__(self, tar: tarfile.TarFile, bundle: Bundle, infos: dict[str, tarfile.TarInfo], where: str) -> None:
        self._tar, self._infos = tar, infos
        self.bundle, self.where = bundle, where
        self.lock = lockfile.parsed(self.content(LOCK).decode(errors="replace"), f"{where}: {LOCK}")

    def files(self) -> Iterator[Member]:
        """What belongs into the declaration's directory, directories first; names without ``files/``."""
        for member in self.bundle.members:
            if member.name.startswith("files/"):
                yield member.model_copy(update={"name": member.name.removeprefix("files/")})

    def content(self, name: str) -> bytes:
        """A whole member."""
        with self.opened(name) as file:
            return file.read()

    def opened(self, name: str) -> BinaryIO:
        """A member as a file that can seek. Raises CorruptStateError for one that is not there."""
        info = self._infos.get(name)
        if info is None:
            raise CorruptStateError(f"the bundle has no {name}", where=self.where)
        return cast("BinaryIO", self._tar.extractfile(info))


@contextmanager
def opened(path: Path) -> Iterator[OpenBundle]:
    """Check a bundle. Raises NotFoundError, DeclarationError for what is none, CorruptStateError, UnsupportedError."""
    where = str(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise NotFoundError(f"the bundle cannot be read: {error.strerror}", where=where) from error
    with file:
        try:
            # Plain: what is compressed could be far larger than it looks.
            tar = tarfile.open(fileobj=file, mode="r:", tarinfo=GuardedInfo)  # noqa: SIM115 - closed with its file
            infos = dict(_members(tar, where))
            bundle = _index(tar, infos, where)
            for member in bundle.members:
                _check(tar, infos, member, where)
        except (tarfile.TarError, OverflowError) as error:
            raise DeclarationError(f"this is no bundle: {error}", where=where, hint=_HINT) from error
        unlisted = set(infos) - {INDEX} - {member.name for member in bundle.members}
        if unlisted:
            raise CorruptStateError(
                f"the bundle has what its index does not list: {min(unlisted)[:200]!r}", where=where
            )
        made = OpenBundle(tar, bundle, infos, where)
        _check_declaration(made)
        _check_images(made)
        yield made


def _members(tar: tarfile.TarFile, where: str) -> Iterator[tuple[str, tarfile.TarInfo]]:
    seen: set[str] = set()
    for count, info in enumerate(tar):
        name = info.name
        if count >= _MAX_MEMBERS or name in seen:
            raise CorruptStateError(f"the bundle has too many members, or two called {name[:200]!r}", where=where)
        if not (info.isreg() or info.isdir()) or info.issparse():
            raise CorruptStateError(f"{name[:200]!r} is neither a file nor a directory", where=where)
        seen.add(name)
        yield name, info


def _index(tar: tarfile.TarFile, infos: dict[str, tarfile.TarInfo], where: str) -> Bundle:
    info = infos.get(INDEX)
    if info is None or not info.isreg() or info.size > _MAX_INDEX:
        raise DeclarationError(f"this is no bundle: it has no {INDEX}", where=where, hint=_HINT)
    try:
        data = json.loads(cast("IO[bytes]", tar.extractfile(info)).read())
    except (ValueError, RecursionError) as error:
        raise DeclarationError(f"this is no bundle: {INDEX} is not JSON", where=where, hint=_HINT) from error
    version = data.get("format") if isinstance(data, dict) else None
    if isinstance(version, int) and version > FORMAT:
        what = f"this bundle was made by bayplan {data.get('made_by', 'of a newer version')}"
        raise UnsupportedError(what, where=where, hint="upgrade this one")
    try:
        bundle = Bundle.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CorruptStateError(f"{INDEX} is malformed: {place[:200]}: {first['msg']}", where=where) from error
    if len({member.name for member in bundle.members}) != len(bundle.members):
        raise CorruptStateError(f"{INDEX} lists a member twice", where=where)
    return bundle


def _check(tar: tarfile.TarFile, infos: dict[str, tarfile.TarInfo], member: Member, where: str) -> None:
    info = infos.get(member.name)
    if info is None:
        raise CorruptStateError(f"the bundle has no {member.name}", where=where)
    if member.digest is None:
        if not info.isdir():
            raise CorruptStateError(f"{member.name} is no directory", where=where)
        return
    found, file = hashlib.sha256(), tar.extractfile(info) if info.isreg() else None
    while file and (piece := file.read(_PIECE)):
        found.update(piece)
    if file is None or info.size != member.size or f"sha256:{found.hexdigest()}" != member.digest:
        raise CorruptStateError(f"{member.name} is not what the bundle's index says", where=where)


def _check_declaration(made: OpenBundle) -> None:
    """The declaration is what its fingerprint says, lies nowhere else, and has its images in the lock."""
    bundle = made.bundle
    found = fingerprint(Canon(bundle.stack, bundle.contents).declared(), bundle.stack.allowed)
    if found.digest != bundle.fingerprint or bundle.stack.directory != HOME:
        raise CorruptStateError("the declaration is not the one that its fingerprint is of", where=made.where)
    for image in bundle.stack.images:
        name = str(image.reference)
        held = bundle.images.get(name)
        locked = made.lock.images.get(name)
        known = {held.digest, *held.platforms.values(), *held.ids.values()} if held else set()
        # A build's digest is the bundle's own to say: nobody else has built just that.
        if not known or (image.build is None and (locked is None or held is None or held.digest != locked.digest)):
            raise CorruptStateError(f"image {name} is not in the bundle as it is locked", where=made.where)


def _check_images(made: OpenBundle) -> None:
    """The archive names just the images of the declaration, by digests that the index knows."""
    pins = {str(image.reference): made.bundle.images[str(image.reference)] for image in made.bundle.stack.images}
    try:
        wrong = archive.wrong(archive.named(made.opened(IMAGES)), pins)
    except archive.MALFORMED as error:
        raise CorruptStateError(f"{IMAGES} is no archive of images: {error}", where=made.where) from error
    if wrong:
        raise CorruptStateError(f"{IMAGES} has {wrong}", where=made.where)


_HINT = "make one with `bayplan bundle make FILE`"
