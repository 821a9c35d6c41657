"""The verbs of ``bayplan image`` on this core: its store, layers and containers put together."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from bayplan.errors import ConflictError, DeclarationError, InUseError, NotFoundError
from bayplan.models import ImageReference
from bayplan.runtime.images import Ask, Blob, Copied, Freed, HistoryEntry, ImageSummary, Pushed
from bayplan.runtime.native.containers import Containers, mountpoints
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.images.images import Images
from bayplan.runtime.native.images.kept import KeptImages
from bayplan.runtime.protocol import Report, silent

if TYPE_CHECKING:
    from bayplan.runtime.native.images.catalog import Catalog, Found

# Each verb loads what it needs: an apply ends with `keep`, which needs nothing of builder, archives or registries.


class NativeImageVerbs:
    """Implements ``runtime.images.ImageVerbs``."""

    def __init__(self, images: Images, containers: Containers) -> None:
        self.images, self.containers = images, containers
        self.store = images.store
        self._kept = KeptImages(containers.records.database)

    @cached_property
    def catalog(self) -> Catalog:
        """What there is, as users know it."""
        from bayplan.runtime.native.images.catalog import Catalog

        return Catalog(self.store, self.images.layers.root)

    def summaries(self) -> list[ImageSummary]:
        """All images."""
        return self.catalog.summaries(self._users())

    def inspect(self, name: str) -> dict[str, Any]:
        """In Docker's fields."""
        return self.catalog.inspect(name, self._users())

    def mend(self, name: str) -> list[str]:
        """By reading everything of it."""
        from bayplan.runtime.native.images.soundness import discard

        digest = self.store.find(ImageReference.parse(name))
        if digest is None:
            return []
        with self.store.in_use():
            removed = discard(self.store, digest)
        if not removed:
            self.images.layers.ensure(self.store.get(digest), self.store)
        return removed

    def history(self, name: str) -> list[HistoryEntry]:
        """Newest first."""
        return self.catalog.history(name, self._users())

    def tag(self, source: str, target: str) -> str:
        """Another name; under the collector's lease, so that the image cannot go meanwhile."""
        from bayplan.runtime.native.images.catalog import new_name

        wanted = new_name(target)
        with self.store.in_use():
            found = self.catalog.find(source, self._users())
            self.store.get(found.digest)
            self.store.tag(wanted, found.digest, index=found.index)
        return found.digest

    def remove(self, names: Sequence[str]) -> list[str]:
        """Everything is checked before the first name goes."""
        users, held = self._users(), self.store.list()
        gone: set[str] = set()
        for name in names:
            found = self.catalog.find(name, users)
            gone |= {str(found.reference)} if found.reference else self._only_name(name, found, held)
        for digest in {held[name] for name in gone if name in held}:
            left = [name for name, other in held.items() if other == digest and name not in gone]
            if users.get(digest) and not left:
                name = next(item for item in gone if held.get(item) == digest)
                raise InUseError(
                    f"image {ImageReference.parse(name).familiar} is used by containers {', '.join(users[digest])}",
                    hint="remove those first",
                )
        for name in sorted(gone):
            self.images.forget(ImageReference.parse(name))
        self.images.collect(self._needed())
        return [ImageReference.parse(name).familiar for name in sorted(gone)]

    def push(self, name: str, report: Report = silent) -> Pushed:
        """By a name only: it says where to."""
        from bayplan.runtime.native.images.push import push

        found = self.catalog.find(name, self._users())
        if found.reference is None:
            raise DeclarationError(f"{name} names no repository", hint="tag it, then push it by that name")
        return push(self.store, self.images.client, found.reference, found.digest, report)

    def push_index(self, name: str, images: Sequence[str], report: Report = silent) -> Pushed:
        """The index is not kept here: what it lists is."""
        from bayplan.runtime.native.images.catalog import new_name
        from bayplan.runtime.native.images.push import push_index

        users = self._users()
        digests = [self.catalog.find(item, users).digest for item in images]
        return push_index(self.store, self.images.client, new_name(name), digests, report)

    def save(self, names: Sequence[str], target: Path | BinaryIO, form: str, report: Report = silent) -> None:
        """Names are kept; what was named by digest or id is written without one."""
        from bayplan.runtime.native.images.save import save

        found = [self.catalog.find(name, self._users()) for name in names]
        save(self.store, [(item.reference, item.digest, item.index) for item in found], target, form, report)

    def load(self, source: Path | BinaryIO, name: str | None = None, report: Report = silent) -> dict[str, str]:
        """By the settings' policy."""
        from bayplan.runtime.native.images.catalog import new_name
        from bayplan.runtime.native.images.load import Loader

        wanted = new_name(name) if name else None
        policy = self.images.settings.signature_policy
        found = Loader(self.store, self.images.layers, policy, report).load(source, wanted)
        return {ImageReference.parse(text).familiar: digest for text, digest in found.items()}

    def import_tree(self, source: Path | BinaryIO, name: str, comment: str = "", report: Report = silent) -> str:
        """One layer, by the settings' policy."""
        from bayplan.registry import policy
        from bayplan.runtime.native.images.catalog import new_name
        from bayplan.runtime.native.images.made import import_tree

        policy.check_path(
            "tarball", source if isinstance(source, Path) else None, self.images.settings.signature_policy
        )
        return import_tree(self.store, self.images.layers, source, new_name(name), comment, report)

    def export(self, container: str, target: BinaryIO) -> None:
        """Its own layer over those of its image."""
        from bayplan.runtime.native.containers.verbs import quiet
        from bayplan.runtime.native.images.pack import pack_tree

        with self.store.in_use(), quiet(self.containers, self._id(container)):
            pack_tree(*self._tree(container), target)

    def commit(self, container: str, name: str, comment: str = "", report: Report = silent) -> str:
        """On top of the image the container was made from."""
        from bayplan.runtime.native.containers.verbs import quiet
        from bayplan.runtime.native.images.catalog import new_name
        from bayplan.runtime.native.images.made import commit

        wanted = new_name(name)
        upper, lowers = self._tree(container)
        base = str(self.containers.records.get(self._id(container))["image_digest"])
        with quiet(self.containers, self._id(container)):
            return commit(self.store, self.images.layers, base, upper, lowers, wanted, comment, report)

    def diff(self, container: str) -> Iterator[tuple[str, str]]:
        """Sorted by path."""
        from bayplan.runtime.native.images.tree import walk

        upper, lowers = self._tree(container)
        for entry in walk(upper, lowers, changes_only=True):
            kind = "D" if entry.is_gone else "C" if entry.is_below else "A"
            yield kind, f"/{entry.name}"

    def has(self, name: str, digest: str) -> bool:
        """Under any name, or kept under none."""
        return self.images.holds(digest)

    def keep(self, owner: str, digests: Collection[str]) -> None:
        """Noted in the record."""
        self._kept.replace(owner, digests)

    def prune(self, *, unused: bool, dry_run: bool) -> list[Freed]:
        """List and deletion under one lease, so that the one is the other."""
        from bayplan.runtime.native.images.prune import Lease, Pruner

        with Lease(self.store, to_read=dry_run):
            pruner = Pruner(self.store, self.images.layers.root, self._needed())
            made = list(self.images.builder.cache.kept())
            chains, blobs = {item.chain for item in made}, {item.digest for item in made}
            found = pruner.find(unused=unused, chains=chains | self._mounted_chains(), blobs=blobs)
            if not dry_run:
                pruner.delete(found)
        for item in () if dry_run else found:
            if item.kind == "name":
                self.images.builder.forget(str(ImageReference.parse(item.name)))
        return found

    def prune_builds(self, *, results: bool, dry_run: bool) -> list[Freed]:
        """Under the collector's lease: no build is under way."""
        from bayplan.runtime.native.build_mounts import CACHES
        from bayplan.runtime.native.images.prune import Lease, Pruner, caches, delete_caches

        cache, top = self.images.builder.cache, self.images.settings.state_root / CACHES
        with Lease(self.store, to_read=dry_run):
            found = caches(top)
            pruner = Pruner(self.store, self.images.layers.root, self._needed())
            rest = pruner.find(unused=False, chains=self._mounted_chains(), blobs=()) if results else []
            if not dry_run:
                delete_caches(top, found)
                if results:
                    cache.clear()
                pruner.delete(rest)
        return [*found, *rest]

    def copy(self, name: str, target: str, bridge: str, report: Report = silent) -> Copied:
        """Over the system's ssh."""
        from bayplan.runtime.native.images.send import send
        from bayplan.system.ssh import Remote

        remote, found = Remote.parse(target), self.catalog.find(name, self._users())
        if found.reference is None:
            raise DeclarationError(f"{name} is no name", hint="tag it: the other host needs a name too")
        count, size = send(self.store, found, remote, bridge=bridge, report=report)
        return Copied(name=found.reference.familiar, digest=found.digest, blobs=count, size_bytes=size)

    def receive(self, name: str, manifest: str, blobs: Sequence[Blob], ask: Ask, index: str = "") -> int:
        """Under the collector's lease until the image has its name; by the settings' policy for that name."""
        from bayplan.registry import policy
        from bayplan.runtime.native.images.catalog import new_name
        from bayplan.runtime.native.images.receive import receive

        wanted = new_name(name)
        policy.check_docker(wanted, self.images.settings.signature_policy)
        return receive(self.store, self.images.layers, wanted, manifest, index, blobs, ask)

    def _tree(self, container: str) -> tuple[Path, list[Path]]:
        """The container's own layer, and what lies below it, topmost first."""
        from bayplan.runtime.native.containers.spec.users import refuse_shifted

        container_id = self._id(container)
        facts = json.loads(self.containers.records.bundle(container_id)["facts"])
        refuse_shifted(facts, container)
        settings = self.images.settings
        below = [*(Path(item) for item in facts["lowerdirs"]), mountpoints.layer(settings.state_root)]
        return Paths.of(settings, container_id).upper, below

    def _mounted_chains(self) -> set[str]:
        """The layers that containers stand on or have mounted, whatever their images are called now."""
        found: set[str] = set()
        for row in self.containers.records.database.query("SELECT facts FROM bundles"):
            facts = json.loads(row[0])
            trees = [*facts["lowerdirs"], *(layer for item in facts.get("images", ()) for layer in item["layers"])]
            found |= {f"sha256:{Path(item).name}" for item in trees}
        return found

    def _id(self, container: str) -> str:
        found = self.containers.find(container)
        if found is None:
            raise NotFoundError(f"container {container} does not exist", hint="see `bayplan status`")
        return found

    def _only_name(self, text: str, found: Found, held: dict[str, str]) -> set[str]:
        names = [name for name, digest in held.items() if digest == found.digest]
        if len(names) > 1:
            said = ", ".join(ImageReference.parse(name).familiar for name in names)
            raise ConflictError(f"{text} has {len(names)} names", hint=f"remove it by name: {said}")
        if not names:
            used = ", ".join(self._users().get(found.digest, ()))
            raise InUseError(f"{text} has no name and is used by containers {used}", hint="remove those first")
        return set(names)

    def _users(self) -> dict[str, list[str]]:
        return self.containers.records.images()

    def _needed(self) -> dict[str, list[str]]:
        """What containers run from, and what is kept without one."""
        return {**{digest: [] for digest in self._kept.all()}, **self._users()}
