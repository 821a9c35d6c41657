"""The verbs of images: names, what is damaged or unused, an image of a container."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from bayplan.runtime.protocol import Report, Runtime, silent

if TYPE_CHECKING:
    from bayplan.runtime.images import Freed


def tag_image(runtime: Runtime, source: str, target: str) -> str:
    """Give an image another name; returns its digest."""
    with runtime.lock(f"image tag {target}"):
        return runtime.image_verbs.tag(source, target)


def remove_images(runtime: Runtime, names: Sequence[str]) -> Sequence[str]:
    """Remove names of images and what only they used; returns the names that are gone."""
    with runtime.lock("image rm"):
        return runtime.image_verbs.remove(names)


def mend_images(runtime: Runtime, names: Sequence[str]) -> None:
    """Make ready for a pull what is damaged of images."""
    with runtime.lock("mend images"):
        for name in names:
            runtime.image_verbs.mend(name)


def commit_container(runtime: Runtime, container: str, name: str, comment: str, report: Report = silent) -> str:
    """Make an image of a container, which nobody removes meanwhile; returns its digest."""
    with runtime.lock(f"image commit {container}"):
        return runtime.image_verbs.commit(container, name, comment, report)


def prune_images(runtime: Runtime, *, unused: bool, dry_run: bool) -> Sequence[Freed]:
    """Free what nothing needs, or only list it; no change of the host comes between.

    A ``dry_run`` waits for no other change, and makes none: what a lock tidies away stays too.
    """
    with nullcontext() if dry_run else runtime.lock("image prune"):
        return runtime.image_verbs.prune(unused=unused, dry_run=dry_run)


def prune_builds(runtime: Runtime, *, results: bool, dry_run: bool) -> Sequence[Freed]:
    """Free the caches of builds, with ``results`` those of their steps too, or only list it, as ``prune_images``."""
    with nullcontext() if dry_run else runtime.lock("builder prune"):
        return runtime.image_verbs.prune_builds(results=results, dry_run=dry_run)
