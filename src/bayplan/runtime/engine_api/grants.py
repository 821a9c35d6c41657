"""Secrets and configs: put into a created container before its start, with their owner and mode.

The content goes over the engine's socket as an archive, and into no command line, label, log or record. It lies in the
container's own layer, which only the engine's administrator can read, and goes with it.
"""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from pathlib import PurePosixPath

from pydantic import SecretBytes

from bayplan.errors import NotFoundError
from bayplan.models import Container, FileGrant
from bayplan.runtime.engine_api.answers import AbsentError
from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.runtime.engine_api.engine import Engine
from bayplan.runtime.engine_api.options import mounts

_TAR = {"Content-Type": "application/x-tar"}


def put(client: EngineClient, engine: Engine, container_id: str, container: Container) -> None:
    """Write them into a container that does not run. Raises NotFoundError for one without content."""
    bound = mounts.bound(container, engine)
    given = [one for one in (*container.secrets, *container.configs) if one not in bound]
    if not given:
        return
    with told(str(container.id)):
        path = f"/containers/{container_id}/archive"
        for _ in client.streamed("PUT", path, query={"path": "/"}, headers=_TAR, data=archive(given)):
            pass


def archive(grants: Sequence[FileGrant]) -> bytes:
    """A tar of them, from the root. Raises NotFoundError for one without content."""
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for folder in _folders(grants):
            made = tarfile.TarInfo(folder)
            made.type, made.mode, made.mtime = tarfile.DIRTYPE, 0o755, int(time.time())
            tar.addfile(made)
        for grant in grants:
            if grant.content is None:
                raise NotFoundError(f"{grant.source} has no content", hint="set its variable, or make its file")
            content = grant.content.get_secret_value()
            made = tarfile.TarInfo(grant.target.lstrip("/"))
            made.size, made.mode, made.uid, made.gid = len(content), grant.mode, grant.uid, grant.gid
            made.mtime = int(time.time())
            tar.addfile(made, io.BytesIO(content))
    return out.getvalue()


def content_of(client: EngineClient, container_id: str, grant: FileGrant) -> SecretBytes | None:
    """What a container has at the target of a grant; None for nothing, and for what is no file."""
    import tarfile

    try:
        path = f"/containers/{container_id}/archive"
        packed = io.BytesIO(b"".join(client.streamed("GET", path, query={"path": grant.target})))
    except AbsentError:
        return None
    with tarfile.open(fileobj=packed) as tar:
        member = tar.next()
        found = tar.extractfile(member) if member is not None and member.isfile() else None
        return SecretBytes(found.read()) if found else None


def _folders(grants: Sequence[FileGrant]) -> list[str]:
    """Directories of ``/run/secrets`` alone: others are the image's, whose modes are to stay, or made by the engine."""
    found = {str(parent) for grant in grants for parent in PurePosixPath(grant.target).parents}
    return [name.lstrip("/") for name in ("/run", "/run/secrets") if name in found]
