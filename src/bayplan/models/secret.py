"""Secrets and configs: small files given to containers."""

from __future__ import annotations

import hmac
import re
from typing import Annotated, TypeVar

from pydantic import Field, SecretBytes, SecretStr, model_validator

from bayplan.models.base import IN_PLACE, NO_CHANGE, RECREATE, SENSITIVE, Kind, Model, Resource
from bayplan.models.types import AbsolutePath, ResourceName

_SECRET_NAME = re.compile(r"pass|secret|token|credential|private|auth|(^|_)key$|api_?key", re.IGNORECASE)


def may_be_secret(name: str) -> bool:
    """Whether the value of a variable of this name may be a secret: it is masked, and never recorded in a history."""
    return _SECRET_NAME.search(name) is not None


class Config(Resource):
    """A file's content, given to containers read-only. Exactly one of ``file``, ``environment``, ``content``."""

    name: ResourceName = Field(description="Name on the host.")
    file: Annotated[str | None, RECREATE] = Field(None, description="File that holds the content; absolute path.")
    environment: Annotated[str | None, RECREATE] = Field(None, description="Environment variable that holds it.")
    content: Annotated[str | None, RECREATE] = Field(None, description="The content itself.")
    labels: Annotated[dict[str, str], IN_PLACE] = Field(default_factory=dict, description="Labels.")
    external: Annotated[bool, NO_CHANGE] = Field(False, description="Made by somebody else: must exist.")

    @property
    def kind(self) -> Kind:
        """Config."""
        return Kind.CONFIG

    @model_validator(mode="after")
    def _one_source(self) -> Config:
        return _check_one_source(self)


class Secret(Resource):
    """Like a config, but its content is never shown or stored outside memory-backed files."""

    name: ResourceName = Field(description="Name on the host.")
    file: Annotated[str | None, RECREATE] = Field(None, description="File that holds the secret; absolute path.")
    environment: Annotated[str | None, RECREATE] = Field(None, description="Environment variable that holds it.")
    content: Annotated[SecretStr | None, RECREATE, SENSITIVE] = Field(None, description="The secret itself.")
    labels: Annotated[dict[str, str], IN_PLACE] = Field(default_factory=dict, description="Labels.")
    external: Annotated[bool, NO_CHANGE] = Field(False, description="Made by somebody else: must exist.")

    @property
    def kind(self) -> Kind:
        """Secret."""
        return Kind.SECRET

    @model_validator(mode="after")
    def _one_source(self) -> Secret:
        return _check_one_source(self)


_S = TypeVar("_S", Config, Secret)


def _check_one_source(model: _S) -> _S:
    given = [name for name in ("file", "environment", "content") if getattr(model, name) is not None]
    if len(given) != (0 if model.external else 1):
        raise ValueError("give exactly one of file, environment, content (none when external)")
    return model


class FileGrant(Model):
    """A secret or config mounted into a container."""

    source: ResourceName = Field(description="Name of the secret or config.")
    target: AbsolutePath = Field(description="Path in the container.")
    uid: int = Field(0, ge=0, description="Owner inside the container.")
    gid: int = Field(0, ge=0, description="Group inside the container.")
    mode: int = Field(0o444, ge=0, le=0o7777, description="Permission bits.")
    content: SecretBytes | None = Field(None, exclude=True, repr=False, description="What it holds; never recorded.")
    file: str | None = Field(
        None, description="The file it came from, read again when a reboot took it from memory; absolute path."
    )
    fingerprint: str = Field("", description="A keyed hash of the content, by which a change of it is seen.")

    def sealed(self, key: bytes) -> FileGrant:
        """With the fingerprint of its content; as it is when it has no content or there is no key yet."""
        if self.content is None or not key:
            return self
        found = hmac.new(key, self.content.get_secret_value(), "sha256").hexdigest()[:32]
        return self.model_copy(update={"fingerprint": found})
