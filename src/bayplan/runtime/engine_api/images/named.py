"""The images of an engine by what a user calls them: a name, a digest, or an id of at least 12 digits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bayplan.errors import ConflictError, DeclarationError, InUseError, NotFoundError
from bayplan.models import ImageReference
from bayplan.runtime.engine_api.bases import whole_id
from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.runtime.engine_api.containers import Containers
from bayplan.runtime.engine_api.images.kept import is_ours

Row = Mapping[str, Any]
"""One image as the engine lists it (ImageList)."""
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{12,64}")


def new_name(text: str) -> ImageReference:
    """A name to give to an image: without a digest. Raises DeclarationError."""
    found = _parsed(text)
    if found.digest:
        raise DeclarationError(f"{text}: a digest cannot be given as a name", hint="name it REPOSITORY[:TAG]")
    return found


def _parsed(text: str) -> ImageReference:
    try:
        return ImageReference.parse(text)
    except ValueError as error:
        raise DeclarationError(str(error), where="image name", hint="such as registry.example/team/app:1.2") from error


class Named:
    """Looks images up. A name wins over an id."""

    def __init__(self, client: EngineClient, containers: Containers) -> None:
        self._client, self._containers = client, containers

    def all(self) -> list[tuple[Row, list[str]]]:
        """Every image but those between the steps of a build, each with the containers that were made from it."""
        with told(f"{self._client.kind}: images"):
            rows = self._client.call("GET", "/images/json")
            listed = self._containers.all()
        users: dict[str, list[str]] = {}
        for found in listed:
            name = str((found.get("Names") or [""])[0]).lstrip("/")
            users.setdefault(whole_id(str(found.get("ImageID") or "")), []).append(name)
        return [(row, users.get(whole_id(str(row["Id"])), [])) for row in rows]

    def find(self, text: str) -> dict[str, Any]:
        """An image (ImageInspect). Raises NotFoundError, ConflictError for the beginning of several ids."""
        named = None if text.startswith("sha256:") else _parsed(text)
        spelled = text if named is None else _spelled(named)
        for wanted in dict.fromkeys((spelled, *([text] if _ID.fullmatch(text) else ()))):
            try:
                with told(f"image {text}"):
                    found: dict[str, Any] = self._client.call("GET", f"/images/{wanted}/json")
            except NotFoundError:
                continue
            return found
        raise NotFoundError(f"image {text} is not here", hint="see `bayplan image ls`, or pull it first")

    def reference(self, text: str) -> ImageReference | None:
        """The name by which an image was named; None for a digest or an id."""
        if text.startswith("sha256:"):
            return None
        found = _parsed(text)
        if found.digest and not found.tag:
            return None
        known = {str(ImageReference.parse(tag)) for tag in self.find(text).get("RepoTags") or ()}
        return found if str(found) in known else None

    def spelled(self, text: str) -> str:
        """What the engine is told for it: the whole name, else the id."""
        found, named = self.find(text), self.reference(text)
        return str(named) if named else whole_id(str(found["Id"]))

    def to_remove(self, text: str, rows: Sequence[tuple[Row, Sequence[str]]]) -> list[tuple[str, str]]:
        """The name (else the id) that goes, with the image's id. Raises ConflictError for an id with several names."""
        found, named = self.find(text), self.reference(text)
        image_id = whole_id(str(found["Id"]))
        if named:
            return [(named.familiar, image_id)]
        row, users = next(((row, mine) for row, mine in rows if whole_id(str(row["Id"])) == image_id), ({}, ()))
        names = self.names(row)
        if len(names) > 1:
            raise ConflictError(f"{text} has {len(names)} names", hint=f"remove it by name: {', '.join(names)}")
        if not names and users:
            used = ", ".join(sorted(users))
            raise InUseError(f"{text} has no name and is used by containers {used}", hint="remove those first")
        return [(names[0] if names else image_id, image_id)]

    def names(self, row: Row) -> list[str]:
        """The names of a listed image, as people write them."""
        tags = [str(item) for item in row.get("RepoTags") or () if "<none>" not in str(item)]
        return sorted(ImageReference.parse(tag).familiar for tag in tags if not is_ours(tag))

    def is_kept(self, row: Row) -> bool:
        """Whether it stays though nobody names it."""
        return any(is_ours(str(tag)) for tag in row.get("RepoTags") or ())

    def digest(self, row: Row, reference: ImageReference | None = None) -> str:
        """The digest that its repository, or any, has; the id of one that never had a registry."""
        digests = [str(item).partition("@") for item in row.get("RepoDigests") or () if "<none>" not in str(item)]
        wanted = reference.name if reference else ""
        own = [digest for name, _, digest in digests if wanted and ImageReference.parse(name).name == wanted]
        return next(iter([*own, *(digest for _, _, digest in digests)]), whole_id(str(row["Id"])))


def _spelled(named: ImageReference) -> str:
    return f"{named.name}@{named.digest}" if named.digest else str(named)
