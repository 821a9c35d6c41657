"""Images that stay although no name and no container needs them: an engine frees what has no tag, so they get one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from bayplan.errors import NotFoundError
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
        rows: list[Mapping[str, Any]] = client.call(
            "GET", "/images/json", query={"filters": {"reference": [REPOSITORY]}}
        )
        there = {tag.rpartition(":")[2] for row in rows for tag in row.get("RepoTags") or () if is_ours(str(tag))}
        for tag in wanted.keys() - there:
            client.call("POST", f"/images/{wanted[tag]}/tag", query={"repo": REPOSITORY, "tag": tag})
        for tag in there - wanted.keys():
            if tag.startswith(f"{owner[:100]}."):
                _untag(client, tag)


def _untag(client: EngineClient, tag: str) -> None:
    try:
        with told(f"image {tag}"):
            client.call("DELETE", f"/images/{REPOSITORY}:{tag}")
    except NotFoundError:
        return
