"""Files that a container was given: secrets and configs by their keyed hash."""

from __future__ import annotations

from pydantic import SecretBytes

from bayplan.models import Change, Container, Settings
from bayplan.runtime.native.containers import grants
from bayplan.runtime.seal import key
from bayplan.system.files import read_if_there


def defects(container: Container, container_id: str, made: Settings) -> dict[str, str]:
    """Grants whose file has another content, or is gone; the declaration brings it again."""
    found = {}
    for grant, file in grants.entries(container, made, container_id):
        if grant.fingerprint:
            content = SecretBytes(read_if_there(str(file)))
            if grant.model_copy(update={"content": content}).sealed(key(made)).fingerprint != grant.fingerprint:
                found[f"the content of {grant.source} is not what was given"] = Change.IN_PLACE.value
    return found
