"""Images by name over a dictionary. Archives and other hosts are beyond what is kept in memory: those are refused."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from bayplan.errors import InUseError, NotFoundError, UnsupportedError
from bayplan.models import Container
from bayplan.runtime.images import Ask, Blob, Copied, Freed, HistoryEntry, ImageSummary, Pushed
from bayplan.runtime.protocol import Report, silent

if TYPE_CHECKING:
    from bayplan.runtime.fake.engine import FakeRuntime


class FakeImageVerbs:
    """Works on ``FakeRuntime.local_images``."""

    def __init__(self, engine: FakeRuntime) -> None:
        self.engine = engine

    def summaries(self) -> list[ImageSummary]:
        """One entry for each digest."""
        found: dict[str, list[str]] = {}
        for name, digest in sorted(self.engine.local_images.items()):
            if not name.startswith("fingerprint:"):
                found.setdefault(digest, []).append(name)
        return [
            ImageSummary(names=tuple(names), digest=digest, id=digest, containers=tuple(self._users(digest)))
            for digest, names in found.items()
        ]

    def inspect(self, name: str) -> dict[str, Any]:
        """Little is known."""
        digest = self._digest(name)
        tags = [key for key, value in self.engine.local_images.items() if value == digest]
        return {"Id": digest, "Digest": digest, "RepoTags": tags, "Config": {}, "Size": 0}

    def history(self, name: str) -> list[HistoryEntry]:
        """Nothing is known."""
        self._digest(name)
        return []

    def has(self, name: str, digest: str) -> bool:
        """Under any name."""
        return digest in self.engine.local_images.values()

    def keep(self, owner: str, digests: Collection[str]) -> None:
        """Noted, and no more: nothing is freed here that has no name."""
        self.engine.kept[owner] = frozenset(digests)

    def tag(self, source: str, target: str) -> str:
        """Another name."""
        digest = self._digest(source)
        self.engine.calls.append(f"tag {target}")
        self.engine.local_images[target] = digest
        return digest

    def remove(self, names: Sequence[str]) -> list[str]:
        """Forget names; the last one of an image that a container uses stays."""
        held = self.engine.local_images
        for name in names:
            digest = self._digest(name)
            left = [key for key, value in held.items() if value == digest and key not in names]
            if self._users(digest) and not left:
                users = ", ".join(self._users(digest))
                raise InUseError(f"image {name} is used by containers {users}", hint="remove those first")
        for name in names:
            self.engine.calls.append(f"remove {name}")
            held.pop(name, None)
        return list(names)

    def push(self, name: str, report: Report = silent) -> Pushed:
        """Now the registry has it."""
        digest = self._digest(name)
        self.engine.calls.append(f"push {name}")
        self.engine.registry[name] = digest
        return Pushed(name=name, digest=digest)

    def push_index(self, name: str, images: Sequence[str], report: Report = silent) -> Pushed:
        """As ``save``."""
        raise UnsupportedError("this engine keeps no layers")

    def save(self, names: Sequence[str], target: Path | BinaryIO, form: str, report: Report = silent) -> None:
        """There are no bytes."""
        raise UnsupportedError("this engine keeps no layers")

    def load(self, source: Path | BinaryIO, name: str | None = None, report: Report = silent) -> Mapping[str, str]:
        """As ``save``."""
        raise UnsupportedError("this engine keeps no layers")

    def import_tree(self, source: Path | BinaryIO, name: str, comment: str = "", report: Report = silent) -> str:
        """Only the name counts."""
        self.engine.calls.append(f"import {name}")
        self.engine.local_images[name] = "sha256:" + hashlib.sha256(f"import {name}".encode()).hexdigest()
        return self.engine.local_images[name]

    def mend(self, name: str) -> list[str]:
        """Memory does not rot."""
        return []

    def export(self, container: str, target: BinaryIO) -> None:
        """As ``save``."""
        raise UnsupportedError("this engine keeps no layers")

    def commit(self, container: str, name: str, comment: str = "", report: Report = silent) -> str:
        """A container that changed nothing gives its own image another name."""
        found = [item for item in self.engine.resources.values() if item.id.name == container]
        if not found:
            raise NotFoundError(f"container {container} does not exist", hint="see `bayplan status`")
        self.engine.calls.append(f"commit {container}")
        self.engine.local_images[name] = found[0].image_digest
        return found[0].image_digest

    def diff(self, container: str) -> Iterator[tuple[str, str]]:
        """Nothing changes here."""
        return iter(())

    def prune(self, *, unused: bool, dry_run: bool) -> Sequence[Freed]:
        """Names are all there is."""
        held = self.engine.local_images
        names = [name for name, digest in sorted(held.items()) if unused and not self._users(digest)]
        for name in () if dry_run else names:
            self.engine.calls.append(f"prune {name}")
            del held[name]
        return [Freed(kind="name", name=name) for name in names]

    def prune_builds(self, *, results: bool, dry_run: bool) -> Sequence[Freed]:
        """Nothing is kept."""
        return ()

    def copy(self, name: str, target: str, bridge: str, report: Report = silent) -> Copied:
        """As ``save``."""
        raise UnsupportedError("this engine keeps no layers")

    def receive(self, name: str, manifest: str, blobs: Sequence[Blob], ask: Ask, index: str = "") -> int:
        """As ``save``."""
        raise UnsupportedError("this engine keeps no layers")

    def _digest(self, name: str) -> str:
        digest = self.engine.local_images.get(name)
        if digest is None:
            raise NotFoundError(f"image {name} is not on this host", hint="see `bayplan image ls`, or pull it first")
        return digest

    def _users(self, digest: str) -> Sequence[str]:
        found = self.engine.resources.values()
        return [item.id.name for item in found if isinstance(item.actual, Container) and item.image_digest == digest]
