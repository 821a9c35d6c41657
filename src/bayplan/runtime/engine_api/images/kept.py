"""Images that stay although no name and no container needs them: an engine frees what has no tag, so they get one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from bayplan.errors import NotFoundError
from bayplan.runtime.engine_api.bases import whole_id
from bayplan.runtime.engine_api.client import EngineClient, told

REPOSITORY = "bayplan.local/generations"
"""Names in it are ours alone: they are listed nowhere."""


def is_ours(tag: str) -> bool:
    """Whether a tag is one that keeps an image, and no name of a user's."""
    return tag.startswith((f"{REPOSITORY}:", f"localhost/{REPOSITORY}:"))


def keep(client: EngineClient, owner: str, digests: Collection[str]) -> None:
    """Tag these for an owner, and take the tags away that it had for others."""
    wanted = {f"{owner[:100]}.{digest.removeprefix('sha256:')[:12]}": digest for digest in digests}
    with told("images that are kept"):
        # Not asked for digests: Podman 4 gives no image at all then, and Docker shows them anyway.
        rows: list[Mapping[str, Any]] = client.call("GET", "/images/json") or []
        known = {digest: str(row["Id"]) for row in rows for digest in _digests(row)}
        tags = [str(tag) for row in rows for tag in row.get("RepoTags") or ()]
        there = {tag.rpartition(":")[2] for tag in tags if is_ours(tag)}
        for tag in wanted.keys() - there:
            if wanted[tag] in known:  # else it went by hand, and an apply of it asks its registry
                query = {"repo": REPOSITORY, "tag": tag}
                client.call("POST", f"/images/{known[wanted[tag]]}/tag", query=query)
        for tag in there - wanted.keys():
            if tag.startswith(f"{owner[:100]}."):
                _untag(client, tag)


def _digests(row: Mapping[str, Any]) -> Iterator[str]:
    """What an image is known by: its id, and its manifests' digests in repositories."""
    yield whole_id(str(row["Id"]))
    yield from (str(one).partition("@")[2] for one in row.get("RepoDigests") or ())


def _untag(client: EngineClient, tag: str) -> None:
    try:
        with told(f"image {tag}"):
            client.call("DELETE", f"/images/{REPOSITORY}:{tag}")
    except NotFoundError:
        return
