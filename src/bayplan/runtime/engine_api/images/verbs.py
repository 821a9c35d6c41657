"""The verbs of ``bayplan image`` over Docker's API."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from bayplan.errors import DeclarationError, InUseError, UnsupportedError
from bayplan.models import ImageReference
from bayplan.runtime.engine_api.bases import whole_id
from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.runtime.engine_api.containers import Containers
from bayplan.runtime.engine_api.images import archives, kept, pruning
from bayplan.runtime.engine_api.images.images import Images
from bayplan.runtime.engine_api.images.named import Named, new_name
from bayplan.runtime.engine_api.images.remote import header
from bayplan.runtime.engine_api.images.transfer import checked, lines, progress, told_of_registry
from bayplan.runtime.engine_api.status import moment
from bayplan.runtime.images import Ask, Blob, Copied, Freed, HistoryEntry, ImageSummary, Pushed
from bayplan.runtime.protocol import Report, silent

_KINDS = {0: "C", 1: "A", 2: "D"}
"""Kinds of a change to a file system (ContainerChanges)."""


class EngineImageVerbs:
    """Implements ``runtime.images.ImageVerbs``."""

    def __init__(self, client: EngineClient, images: Images, containers: Containers) -> None:
        self.client, self.images, self.containers = client, images, containers
        self.named = Named(client, containers)

    def summaries(self) -> list[ImageSummary]:
        """All that have a name or a container."""
        found = [self._summary(row, users) for row, users in self.named.all()]
        wanted = [item for item in found if item.names or item.containers]
        return sorted(wanted, key=lambda item: (not item.names, item.names, item.digest))

    def _summary(self, row: Mapping[str, Any], users: Sequence[str]) -> ImageSummary:
        image_id = whole_id(str(row["Id"]))
        with told(f"image {image_id}"):
            found = self.client.call("GET", f"/images/{image_id}/json")
        parts = (found.get("Os"), found.get("Architecture"), found.get("Variant"))
        return ImageSummary(
            names=tuple(sorted(self.named.names(row))),
            digest=self.named.digest(row),
            id=image_id,
            size_bytes=int(row.get("Size") or 0),
            created=moment(str(found.get("Created") or "")),
            platform="/".join(str(item) for item in parts if item),
            containers=tuple(sorted(users)),
        )

    def inspect(self, name: str) -> dict[str, Any]:
        """What the engine says, and the digest its repository has."""
        found = self.named.find(name)
        return {**found, "Id": whole_id(str(found["Id"])), "Digest": self.named.digest(found)}

    def mend(self, name: str) -> Sequence[str]:
        """The engine's store is its own."""
        raise self._refused("look for damage in its store", "remove the image, and pull it again")

    def history(self, name: str) -> list[HistoryEntry]:
        """Newest first."""
        image_id = whole_id(str(self.named.find(name)["Id"]))
        with told(f"image {name}"):
            rows = self.client.call("GET", f"/images/{image_id}/history")
        return [
            HistoryEntry(
                created=datetime.fromtimestamp(int(row.get("Created") or 0), UTC).isoformat(),
                created_by=str(row.get("CreatedBy") or ""),
                comment=str(row.get("Comment") or ""),
                size_bytes=int(row.get("Size") or 0),
            )
            for row in rows
        ]

    def tag(self, source: str, target: str) -> str:
        """Another name."""
        wanted = new_name(target)
        image_id = whole_id(str(self.named.find(source)["Id"]))
        self._tag(image_id, wanted)
        return image_id

    def _tag(self, image_id: str, wanted: ImageReference) -> None:
        with told(f"image {wanted.familiar}"):
            query = {"repo": wanted.name, "tag": wanted.tag}
            self.client.call("POST", f"/images/{image_id}/tag", query=query)

    def remove(self, names: Sequence[str]) -> list[str]:
        """Everything is checked before the first name goes."""
        gone: dict[str, str] = {}
        rows = self.named.all()
        for name in names:
            for one, image_id in self.named.to_remove(name, rows):
                gone[one] = image_id
        for image_id in set(gone.values()):
            row, users = next((row, users) for row, users in rows if whole_id(str(row["Id"])) == image_id)
            left = [one for one in self.named.names(row) if one not in gone]
            if users and not left:
                name = next(one for one, its in gone.items() if its == image_id)
                what = f"image {name} is used by containers {', '.join(sorted(users))}"
                raise InUseError(what, hint="remove those first")
        for one in sorted(gone):
            with told(f"image {one}"):
                named = one if one.startswith("sha256:") else str(ImageReference.parse(one))
                self.client.call("DELETE", f"/images/{named}")
        return sorted(gone)

    def push(self, name: str, report: Report = silent) -> Pushed:
        """By a name only: it says where to."""
        self.named.find(name)
        reference = self.named.reference(name)
        if reference is None:
            raise DeclarationError(f"{name} names no repository", hint="tag it, then push it by that name")
        what, counts, digest = f"image {name}", {"pushed": 0, "exists": 0, "mounted": 0}, ""
        with told_of_registry(what):
            answer = self.client.streamed(
                "POST", f"/images/{reference.name}/push", query={"tag": reference.tag}, headers=header(reference)
            )
            for event in checked(lines(answer), what):
                progress(event, "push", report)
                status = str(event.get("status") or "").lower()
                for key in counts:
                    counts[key] += bool(event.get("id")) and key in status
                digest = str((event.get("aux") or {}).get("Digest") or digest)
        digest = digest or self.named.digest(self.named.find(name), reference)
        return Pushed(
            name=reference.familiar,
            digest=digest,
            uploaded=counts["pushed"],
            mounted=counts["mounted"],
            present=counts["exists"],
        )

    def push_index(self, name: str, images: Sequence[str], report: Report = silent) -> Pushed:
        """Docker's API has no lists of images."""
        raise self._refused("push an index", "push it from a host with Bayplan's own core")

    def save(self, names: Sequence[str], target: Path | BinaryIO, form: str, report: Report = silent) -> None:
        """Names are kept; what was named by id is written without one."""
        found = [self.named.spelled(name) for name in names]
        archives.save(self.client, found, target, form)

    def load(self, source: Path | BinaryIO, name: str | None = None, report: Report = silent) -> Mapping[str, str]:
        """A tar alone: a directory is another host's."""
        wanted = new_name(name) if name else None
        found = archives.load(self.client, source)
        ids = {_familiar(one): whole_id(str(self.named.find(one)["Id"])) for one in found}
        if wanted is None:
            return ids
        if len(set(ids.values())) != 1:
            raise DeclarationError(f"the archive has {len(ids)} images", hint="load it without a name")
        image_id = next(iter(ids.values()))
        self._tag(image_id, wanted)
        return {wanted.familiar: image_id}

    def import_tree(self, source: Path | BinaryIO, name: str, comment: str = "", report: Report = silent) -> str:
        """One layer."""
        wanted = new_name(name)
        image_id = archives.import_tree(self.client, source, comment)
        self._tag(image_id, wanted)
        return image_id

    def export(self, container: str, target: BinaryIO) -> None:
        """Its file system as the engine mounts it."""
        found = self.containers.get(container)
        with told(f"container {container}"):
            for piece in self.client.streamed("GET", f"/containers/{found['Id']}/export"):
                target.write(piece)

    def commit(self, container: str, name: str, comment: str = "", report: Report = silent) -> str:
        """Paused meanwhile."""
        wanted, found = new_name(name), self.containers.get(container)
        query = {
            "container": found["Id"],
            "repo": wanted.name,
            "tag": wanted.tag,
            "comment": comment,
            "pause": True,
        }
        with told(f"container {container}"):
            return whole_id(str(self.client.call("POST", "/commit", body={}, query=query)["Id"]))

    def diff(self, container: str) -> Iterator[tuple[str, str]]:
        """Sorted by path."""
        found = self.containers.get(container)
        with told(f"container {container}"):
            rows = self.client.call("GET", f"/containers/{found['Id']}/changes") or ()
        yield from ((_KINDS[int(row["Kind"])], str(row["Path"])) for row in sorted(rows, key=lambda row: row["Path"]))

    def has(self, name: str, digest: str) -> bool:
        """As its repository calls it, or by its id."""
        return self.images.holding(name, digest) is not None

    def keep(self, owner: str, digests: Collection[str]) -> None:
        """By tags of our own."""
        kept.keep(self.client, owner, digests)

    def prune(self, *, unused: bool, dry_run: bool) -> Sequence[Freed]:
        """Listed, then just that list."""
        return pruning.prune(self.client, self.named, unused=unused, dry_run=dry_run)

    def prune_builds(self, *, results: bool, dry_run: bool) -> Sequence[Freed]:
        """What BuildKit keeps beside images; an engine without it keeps nothing there."""
        return pruning.prune_builds(self.client, results=results, dry_run=dry_run)

    def copy(self, name: str, target: str, bridge: str, report: Report = silent) -> Copied:
        """Between stores of Bayplan's own core alone."""
        raise self._refused("give single blobs to another host", "use a registry, or `image save` and `image load`")

    def receive(self, name: str, manifest: str, blobs: Sequence[Blob], ask: Ask, index: str = "") -> int:
        """As ``copy``."""
        raise self._refused("take single blobs of another host", "use a registry, or `image save` and `image load`")

    def _refused(self, what: str, hint: str) -> UnsupportedError:
        return UnsupportedError(f"{self.client.kind} {self.client.engine_version} cannot {what}", hint=hint)


def _familiar(name: str) -> str:
    return name if name.startswith("sha256:") else ImageReference.parse(name).familiar
