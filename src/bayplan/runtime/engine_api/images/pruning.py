"""What nothing needs of an engine's images and builds: listed first, and then just that list is removed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bayplan.errors import ConflictError, NotFoundError
from bayplan.models import ImageReference
from bayplan.runtime.engine_api.bases import whole_id
from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.runtime.engine_api.images.named import Named
from bayplan.runtime.images import Freed

_MOUNT_CACHE = "exec.cachemount"


def prune(client: EngineClient, named: Named, *, unused: bool, dry_run: bool) -> list[Freed]:
    """Images without a name; with ``unused`` also the names of those that no container was made from."""
    found = list(_candidates(named, unused=unused))
    if dry_run:
        return found
    return [item for item in found if _removed(client, item)]


def _candidates(named: Named, *, unused: bool) -> Iterator[Freed]:
    for row, users in named.all():
        names, image_id, size = named.names(row), whole_id(str(row["Id"])), int(row.get("Size") or 0)
        if users:
            continue
        if not names and not named.is_kept(row):
            yield Freed(kind="blob", name=image_id[7:19], digest=image_id, size_bytes=size)
        for position, name in enumerate(names if unused else ()):
            yield Freed(kind="name", name=name, digest=image_id, size_bytes=size if position == 0 else 0)


def _removed(client: EngineClient, item: Freed) -> bool:
    named = item.digest if item.kind == "blob" else str(ImageReference.parse(item.name))
    try:
        with told(f"image {item.name}"):
            client.call("DELETE", f"/images/{named}")
    except (NotFoundError, ConflictError):  # gone with another, or needed by one that came meanwhile
        return False
    return True


def prune_builds(client: EngineClient, *, results: bool, dry_run: bool) -> list[Freed]:
    """The caches of RUN mounts, with ``results`` those of steps too."""
    if client.kind == "podman":
        return []  # it keeps its steps as images without a name
    with told("build cache"):
        kept = client.call("GET", "/system/df").get("BuildCache") or ()
        wanted = [row for row in kept if not row.get("InUse") and (results or row.get("Type") == _MOUNT_CACHE)]
        if not dry_run:
            for row in wanted:
                client.call("POST", "/build/prune", query={"all": True, "filters": {"id": [row["ID"]]}})
    return [_freed(row) for row in wanted]


def _freed(row: dict[str, Any]) -> Freed:
    return Freed(kind="layer", name=str(row.get("Description") or row["ID"])[:60], size_bytes=int(row.get("Size") or 0))
