"""The images that containers were made of: each is inspected once in an observation."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from concurrent.futures import Executor
from typing import Any

from bayplan.models import ImageReference
from bayplan.runtime.engine_api.answers import AbsentError
from bayplan.runtime.engine_api.client import EngineClient
from bayplan.runtime.engine_api.options.shape import NOTHING


class Bases:
    """Inspections of images by their ids. Safe to use from many threads."""

    def __init__(self, client: EngineClient) -> None:
        self.client = client
        self._known: dict[str, Mapping[str, Any]] = {}
        self._lock = threading.Lock()

    def learn(self, ids: Collection[str], pool: Executor) -> None:
        """Inspect them anew, at the same time: what repositories call an image changes with pulls."""
        list(pool.map(self._inspect, {one for one in ids if one}))

    def get(self, image_id: str) -> Mapping[str, Any]:
        """What the engine says of it; nothing for one that was removed under a container."""
        with self._lock:
            known = self._known.get(image_id)
        return self._inspect(image_id) if known is None else known

    def _inspect(self, image_id: str) -> Mapping[str, Any]:
        try:
            found: Mapping[str, Any] = self.client.call("GET", f"/images/{image_id}/json")
        except AbsentError:
            found = NOTHING
        with self._lock:
            self._known[image_id] = found
        return found

    def forget(self) -> None:
        """Ask again: a pull or a push gives an image further digests."""
        with self._lock:
            self._known.clear()

    def config(self, image_id: str) -> Mapping[str, Any]:
        """Its configuration, over which a container's is laid."""
        return self.get(image_id).get("Config") or NOTHING

    def digest(self, image_id: str, reference: str) -> str:
        """Digest by which a declaration's ``reference`` is resolved; see ``digest_of``."""
        return digest_of(self.get(image_id), reference) or image_id


def digest_of(image: Mapping[str, Any], reference: str) -> str:
    """The manifest that the engine pulled for that repository; the image's own id for one that never had a registry."""
    digests = [str(one).partition("@") for one in image.get("RepoDigests") or ()]
    try:
        wanted = ImageReference.parse(reference).name if reference else ""
    except ValueError:
        wanted = ""
    by_name = {ImageReference.parse(name).name: digest for name, _, digest in digests}
    return by_name.get(wanted) or next(iter(by_name.values()), "") or whole_id(str(image.get("Id", "")))


def whole_id(text: str) -> str:
    """An image's id as a digest; Podman leaves out the algorithm."""
    return text if not text or text.startswith("sha256:") else f"sha256:{text}"
