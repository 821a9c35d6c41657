"""Secrets and configs as they are given to containers: small files."""

from __future__ import annotations

import hmac
import re

from pydantic import Field, SecretBytes

from bayplan.models.base import Model
from bayplan.models.types import AbsolutePath, ResourceName

_SECRET_NAME = re.compile(r"pass|secret|token|credential|private|auth|(^|_)key$|api_?key", re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/@]+@", re.IGNORECASE)
"""User information of a URI with a password (RFC 3986, 3.2.1), as in ``postgres://shop:word@db/shop``."""


def may_be_secret(name: str, value: object = None) -> bool:
    """Whether a variable, by its name or by a password in its value, may be a secret.

    It is masked then, and never recorded in a history.
    """
    if _SECRET_NAME.search(name) is not None:
        return True
    return isinstance(value, str) and "://" in value and _PASSWORD_IN_URL.search(value) is not None


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

    @property
    def lacks_content(self) -> bool:
        """Whether it cannot be given to anybody. One that has a fingerprint was given before, and needs it no more."""
        return self.content is None and not self.fingerprint

    def sealed(self, key: bytes) -> FileGrant:
        """With the fingerprint of its content; as it is when it has no content or there is no key yet."""
        if self.content is None or not key:
            return self
        found = hmac.new(key, self.content.get_secret_value(), "sha256").hexdigest()[:32]
        return self.model_copy(update={"fingerprint": found})
