"""What an image prune frees: found first, as a list; then exactly that list is deleted."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from bayplan.errors import BusyError
from bayplan.models.reference import ImageReference
from bayplan.runtime.images import Freed
from bayplan.runtime.native.images.store import ImageStore
from bayplan.system import trees

_PART = ".part-"
_log = logging.getLogger("bayplan.images")


class Pruner:
    """One store with its unpacked layers. ``users`` are the manifests that containers run from, with their names."""

    def __init__(self, store: ImageStore, layers_root: Path, users: Mapping[str, Sequence[str]]) -> None:
        self.store, self._layers_root, self._users = store, layers_root, users

    def find(self, *, unused: bool, chains: Collection[str], blobs: Collection[str]) -> list[Freed]:
        """What nothing needs; with ``unused`` also the names of images without a container. Reads only.

        ``chains`` and ``blobs`` are kept beside what images need (the cache of builds).
        """
        held = self.store.list()
        names = {name for name, digest in held.items() if unused and digest not in self._users}
        kept = {digest for name, digest in held.items() if name not in names} | {item for item in self._users if item}
        kept |= {index for name, index in self.store.indexes().items() if name not in names}
        needed, broken = self.store.needs(kept)
        for digest, why in broken.items():
            # What it needs is kept as far as that can be told.
            said = [ImageReference.parse(name).familiar for name, other in held.items() if other == digest]
            _log.warning("image %s is damaged (%s): pull or remove it", ", ".join(said) or digest, why)
        found = [Freed(kind="name", name=ImageReference.parse(name).familiar, digest=held[name]) for name in names]
        keep = {item.removeprefix("sha256:") for item in {*needed.blobs, *blobs}}
        found += [
            Freed(kind="blob", name=f"sha256:{path.name}", size_bytes=path.stat().st_size)
            for path in (self.store.blobs.iterdir() if self.store.blobs.is_dir() else ())
            if path.name not in keep and not path.name.startswith(_PART)
        ]
        trees = {item.removeprefix("sha256:") for item in {*needed.chains, *chains}}
        found += [
            Freed(kind="layer", name=f"sha256:{path.name}", size_bytes=_size(path))
            for path in (self._layers_root.iterdir() if self._layers_root.is_dir() else ())
            if path.is_dir() and path.name not in trees and not path.name.startswith(_PART)
        ]
        return sorted(found, key=lambda item: (["name", "layer", "blob"].index(item.kind), item.name))

    def delete(self, found: Sequence[Freed]) -> None:
        """Delete just these. Names go first: what is cut short leaves things that nothing names, found again."""
        for item in found:
            if item.kind == "name":
                self.store.remove(ImageReference.parse(item.name))
            elif item.kind == "blob":
                self.store.blob(item.name).unlink(missing_ok=True)
            else:
                tree = self._layers_root / self.store.blob(item.name).name
                aside = tree.with_name(_PART + tree.name)
                if tree.is_dir():
                    # By one rename: a cut removal must not leave a part of a layer under its name.
                    trees.remove(tree.rename(aside))


def caches(top: Path) -> list[Freed]:
    """The caches of builds' mounts below ``top``: name is a cache's id, digest its directory."""
    found = []
    for path in sorted(top.iterdir()) if top.is_dir() else ():
        name = path / "id"
        said = name.read_text() if name.is_file() else path.name
        found.append(Freed(kind="cache", name=said, digest=path.name, size_bytes=_size(path)))
    return found


def delete_caches(top: Path, found: Sequence[Freed]) -> None:
    """Delete just these."""
    for item in found:
        trees.remove(top / item.digest)


class Lease:
    """Held while a list is made and deleted: no pull, build or load is under way then, and none begins.

    ``to_read``: only a list is made. A store that is not there is not made for it: nothing is held then.
    """

    def __init__(self, store: ImageStore, *, to_read: bool = False) -> None:
        self._store, self._path, self._to_read = store, store.root / ".use", to_read
        self._fd = -1

    def __enter__(self) -> None:
        if self._to_read and not self._path.exists():
            return
        if not self._to_read:
            self._store.make()
        flags = os.O_RDONLY if self._to_read else os.O_RDWR | os.O_CREAT
        self._fd = os.open(self._path, flags | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise BusyError(
                "images are being pulled, built or moved: what those need has no name yet",
                where=str(self._path),
                hint="try again when they are done",
            ) from None

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _size(tree: Path) -> int:
    """Bytes of the files below, each once however many names it has."""
    seen: dict[int, int] = {}
    for top, _, files in os.walk(tree):
        for name in files:
            found = os.lstat(os.path.join(top, name))  # noqa: PTH118 - as many as a layer has files
            seen[found.st_ino] = found.st_size
    return sum(seen.values())
