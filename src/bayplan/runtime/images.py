"""Images as a user handles them by name: the part of the runtime protocol behind ``bayplan image``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from pydantic import Field

from bayplan.models import Model
from bayplan.models.types import Digest
from bayplan.runtime.protocol import Report, silent


class ImageSummary(Model):
    """One image of this host. ``digest`` is its manifest's, ``id`` its configuration's; sizes as they are stored."""

    names: tuple[str, ...]
    digest: str
    id: str = ""
    size_bytes: int = 0
    created: datetime | None = None
    platform: str = ""
    containers: tuple[str, ...] = ()
    defect: str = ""
    """What is broken in it; the other fields then say what is still known."""


class HistoryEntry(Model):
    """One step that an image was made by, newest first. ``size_bytes`` is that of its layer as it is stored."""

    created: str = ""
    created_by: str = ""
    comment: str = ""
    layer: str = ""
    size_bytes: int = 0


class Pushed(Model):
    """What a push did with the image's blobs."""

    name: str
    digest: str
    uploaded: int = 0
    mounted: int = 0
    present: int = 0


class Freed(Model):
    """One thing that a prune frees: ``kind`` is name, blob (as it was pulled) or layer (unpacked)."""

    kind: str
    name: str
    digest: str = ""
    size_bytes: int = 0


class Blob(Model):
    """A blob that another host offers."""

    digest: Digest
    size: int = Field(ge=0)


class Copied(Model):
    """What went to another host."""

    name: str
    digest: str
    blobs: int
    size_bytes: int


Ask = Callable[[Sequence[str]], Iterator[tuple[str, Iterator[bytes]]]]
"""Asks the other host for blobs by digest; gives each with its content, which is to be read to its end."""


class ImageVerbs(Protocol):
    """Every name is a reference, a digest, or an id of at least 12 hexadecimal digits.

    A name that cannot be one raises DeclarationError, one that is not here NotFoundError; nothing is changed then.
    """

    def summaries(self) -> list[ImageSummary]:
        """All images, ordered by name; those without one that containers still run from come last."""

    def inspect(self, name: str) -> dict[str, Any]:
        """What ``docker image inspect`` says of an image, in its fields."""

    def mend(self, name: str) -> Sequence[str]:
        """Remove blobs of an image that were changed, so that a pull brings them, and unpack layers that are gone.

        Returns the digests of what was removed; an image that is not here is no error.
        """

    def history(self, name: str) -> list[HistoryEntry]:
        """How the image was made, newest step first."""

    def tag(self, source: str, target: str) -> str:
        """Give an image another name, taking that from whichever image had it. Returns the image's digest."""

    def remove(self, names: Sequence[str]) -> list[str]:
        """Remove names, and what only they used; returns the names that are gone. All or nothing is refused.

        Raises ConflictError naming the container that uses an image which would lose its last name, and for a digest
        or id of an image with several names.
        """

    def push(self, name: str, report: Report = silent) -> Pushed:
        """Bring the image of a name to its registry. Raises AccessDeniedError, UnavailableError."""

    def push_index(self, name: str, images: Sequence[str], report: Report = silent) -> Pushed:
        """Push images of several platforms, and under ``name`` the index that lists them. Raises as ``push``."""

    def save(self, names: Sequence[str], target: Path | BinaryIO, form: str, report: Report = silent) -> None:
        """Write images as ``oci-archive``, ``oci-dir`` or ``docker-archive``; the same images give the same bytes.

        Raises ConflictError when the path is there already.
        """

    def load(self, source: Path | BinaryIO, name: str | None = None, report: Report = silent) -> Mapping[str, str]:
        """Take the images of an OCI layout (directory or tar) or a docker-archive; name to digest of what is here now.

        Raises CorruptStateError for an archive that is not sound; no name is given then.
        """

    def import_tree(self, source: Path | BinaryIO, name: str, comment: str = "", report: Report = silent) -> str:
        """Make an image of one layer from a tar of a plain file system; returns its digest."""

    def export(self, container: str, target: BinaryIO) -> None:
        """Write a container's file system, as the container sees it, as a plain tar."""

    def commit(self, container: str, name: str, comment: str = "", report: Report = silent) -> str:
        """Make an image of a container: its own image with its own layer on top; returns the digest.

        A running container is read as it is: what it writes meanwhile is in or not.
        """

    def diff(self, container: str) -> Iterator[tuple[str, str]]:
        """What a container changed: ``A`` added, ``C`` changed or ``D`` deleted, and the absolute path."""

    def has(self, name: str, digest: str) -> bool:
        """Whether the image of a digest is there, so that a pull of just that gives it the name and fetches nothing."""

    def keep(self, owner: str, digests: Collection[str]) -> None:
        """Keep these images for an owner, instead of those it kept before, though no name or container needs them."""

    def prune(self, *, unused: bool, dry_run: bool) -> Sequence[Freed]:
        """Free what nothing needs; with ``unused`` also the names of images that no container was made from.

        Returns the list of what is freed, or with ``dry_run`` would be: the same one. Raises BusyError while images are
        pulled, built or loaded.
        """

    def prune_builds(self, *, results: bool, dry_run: bool) -> Sequence[Freed]:
        """Free the caches of RUN mounts; with ``results`` those of steps too, and what only they need.

        Returns the list, as ``prune``. Raises BusyError while an image is built.
        """

    def copy(self, name: str, target: str, bridge: str, report: Report = silent) -> Copied:
        """Give the image of a name to the host of an ``ssh://`` address, where ``bridge`` is the command to run.

        Only blobs that host lacks are sent. Raises UnavailableError, RuntimeFailureError with what went wrong there.
        """

    def receive(self, name: str, manifest: str, blobs: Sequence[Blob], ask: Ask, index: str = "") -> int:
        """The other side of ``copy``: asks for what is missing, checks all, names the image; how many blobs came.

        ``index`` is the digest of that of all platforms of the name, where it has several.
        """
