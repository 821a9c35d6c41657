"""The files that an image is built from, as one digest."""

from __future__ import annotations

import hashlib

from bayplan.models import Build
from bayplan.models.git_url import parse
from bayplan.runtime.engine_api.images.context import Context


def inputs_of(build: Build) -> str:
    """Digest of the Dockerfile and of what of the context its ``.dockerignore`` leaves; empty for a repository.

    Names, kinds, modes and contents count; owners and times do not. Raises NotFoundError, DeclarationError.
    """
    if parse(build.context):
        return ""  # its commit is locked
    context = Context.read(build)
    found = hashlib.sha256()
    for part in (context.text, context.fingerprint()):
        found.update(part.encode() + b"\0")
    return f"sha256:{found.hexdigest()}"
