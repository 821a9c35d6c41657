"""Secrets and configs that a swarm keeps for its services."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, SecretBytes

from bayplan.models.base import IN_PLACE, NO_CHANGE, Kind, Resource
from bayplan.models.secret import FileGrant
from bayplan.models.types import ResourceName

_FINGERPRINT = 12
"""Hexadecimal digits of a content's keyed hash in the name of its version: 48 bits, among versions of one name."""


class Config(Resource):
    """A file's content kept by a swarm. What it holds can never change: each content is a version with its own name."""

    name: ResourceName = Field(description="Name in the swarm.")
    content: Annotated[SecretBytes | None, NO_CHANGE] = Field(
        None, exclude=True, repr=False, description="What it holds; never recorded."
    )
    labels: Annotated[dict[str, str], IN_PLACE] = Field(default_factory=dict, description="Labels.")
    external: Annotated[bool, NO_CHANGE] = Field(False, description="Made by somebody else: must exist.")

    @property
    def kind(self) -> Kind:
        """Config."""
        return Kind.CONFIG

    def sealed(self, key: bytes) -> Self:
        """By the name of its version: ``NAME-<keyed hash of the content>``; as it is when external or without content.

        Keyed, so that a name in a log does not give a weak secret away to whoever tries words.
        """
        if self.external or self.content is None:
            return self
        found = hmac.new(key, self.content.get_secret_value(), "sha256").hexdigest()[:_FINGERPRINT]
        return self.model_copy(update={"name": f"{self.name}-{found}"})


class Secret(Config):
    """Like a config, but only tasks that were given it can read what it holds."""

    @property
    def kind(self) -> Kind:
        """Secret."""
        return Kind.SECRET


def is_version(called: str, name: str) -> bool:
    """Whether a secret or config is called as a version of that name is."""
    return re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{{_FINGERPRINT}}}", called) is not None


def versioned(grants: tuple[FileGrant, ...], names: Mapping[str, str]) -> tuple[FileGrant, ...]:
    """Grants by the names of versions; ``names`` maps declared names to those."""
    return tuple(one.model_copy(update={"source": names.get(one.source, one.source)}) for one in grants)
