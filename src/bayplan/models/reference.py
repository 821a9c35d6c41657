"""Image references: ``[registry/]repository[:tag][@digest]``.

The grammar is that of the distribution specification ("name", "tag") and of github.com/distribution/reference,
which also gives the short names of Docker Hub: ``nginx`` is ``docker.io/library/nginx:latest``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

DEFAULT_REGISTRY = "docker.io"
_REGISTRY = re.compile(r"^(?:\[[0-9a-fA-F:]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)(?::\d{1,5})?$")
_REPOSITORY = re.compile(r"^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$")
_TAG = re.compile(r"^[\w][\w.-]{0,127}$", re.ASCII)
_DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")


@dataclass(frozen=True)
class ImageReference:
    """One image by name: registry host with port, repository path, and a tag, a digest or both."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, value: object) -> ImageReference:
        """Read any usual spelling; no tag and no digest means ``latest``. Raises ValueError."""
        if isinstance(value, cls):
            return value
        if not isinstance(value, str) or not value:
            raise ValueError(f"not an image reference: {value!r}")
        name, _, digest = value.partition("@")
        if "@" in value and not _DIGEST.fullmatch(digest):
            raise ValueError(f"image {value!r}: a digest is sha256: and 64 hexadecimal digits")
        head, colon, tail = name.rpartition(":")
        tag = None
        if colon and "/" not in tail:
            name, tag = head, tail
            if not _TAG.fullmatch(tag):
                raise ValueError(f"image {value!r}: {tag!r} is not a tag")
        registry, repository = _split(name)
        if not _REGISTRY.fullmatch(registry):
            raise ValueError(f"image {value!r}: {registry!r} is not a registry host")
        if not _REPOSITORY.fullmatch(repository) or len(repository) > 255:
            raise ValueError(f"image {value!r}: {repository!r} is not a repository name (lower case, digits, ._-/)")
        return cls(registry, repository, tag or (None if digest else "latest"), digest or None)

    @property
    def familiar(self) -> str:
        """The short spelling people use: Docker Hub's host and ``library/`` left out."""
        name = f"{self.registry}/{self.repository}"
        if self.registry == DEFAULT_REGISTRY:
            name = self.repository.removeprefix("library/")
        return name + self._suffix()

    @property
    def name(self) -> str:
        """Registry and repository without tag and digest."""
        return f"{self.registry}/{self.repository}"

    def with_digest(self, digest: str) -> ImageReference:
        """The same repository, pinned to a digest."""
        return ImageReference(self.registry, self.repository, self.tag, digest)

    def __str__(self) -> str:
        return self.name + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate by ``parse``; serialise as the full spelling."""
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        """A string in JSON schema."""
        return {"type": "string", "examples": ["nginx:1.27"]}


def _split(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        return DEFAULT_REGISTRY, name if slash else f"library/{name}"
    if first in ("index.docker.io", "registry-1.docker.io"):
        first = DEFAULT_REGISTRY
    return first, rest if first != DEFAULT_REGISTRY or "/" in rest else f"library/{rest}"
