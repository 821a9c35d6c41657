"""Images that the engine has already."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bayplan.errors import NotFoundError, UnsupportedError
from bayplan.models import Image
from bayplan.runtime.engine_api.bases import Bases
from bayplan.runtime.engine_api.client import told
from bayplan.runtime.protocol import ImageOrigin, Observed, Report, ResolvedImage


@dataclass
class LocalImages:
    """Resolves names that are there; fetches nothing."""

    bases: Bases

    def observe(self, names: Collection[str]) -> list[Observed]:
        """None: nothing is changed of them."""
        return []

    def resolve(self, image: Image) -> ResolvedImage:
        """By its name. Raises NotFoundError."""
        with told(f"image {image.name}"):
            found = self.bases.find(image.name)
        if not found:
            raise NotFoundError(f"image {image.name} is not here", hint="pull it")
        volumes = tuple(self.bases.config(found).get("Volumes") or {})
        return ResolvedImage(name=image.name, digest=found, present=True, origin=ImageOrigin.LOCAL, volumes=volumes)

    def create(self, image: Image, digest: str, report: Report) -> None:
        """Raises UnsupportedError."""
        raise UnsupportedError("images are not fetched", where=str(image.id))

    def delete(self, name: str) -> None:
        """Raises UnsupportedError."""
        raise UnsupportedError("images are not removed", where=f"image {name}")
