"""The images that containers were made of: each is inspected once."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from concurrent.futures import Executor
from typing import Any

import docker.errors

from bayplan.runtime.engine_api.client import EngineClient
from bayplan.runtime.engine_api.options.shape import NOTHING


class Bases:
    """Inspections of images by their ids, which never change. Safe to use from many threads."""

    def __init__(self, client: EngineClient) -> None:
        self.client = client
        self._known: dict[str, Mapping[str, Any]] = {}
        self._lock = threading.Lock()

    def learn(self, ids: Collection[str], pool: Executor) -> None:
        """Inspect those that are not known yet, at the same time."""
        with self._lock:
            missing = {one for one in ids if one and one not in self._known}
        list(pool.map(self.get, missing))

    def get(self, image_id: str) -> Mapping[str, Any]:
        """What the engine says of it; nothing for one that was removed under a container."""
        with self._lock:
            known = self._known.get(image_id)
        if known is not None:
            return known
        try:
            found: Mapping[str, Any] = self.client.call("GET", f"/images/{image_id}/json")
        except docker.errors.NotFound:
            found = NOTHING
        with self._lock:
            self._known[image_id] = found
        return found

    def config(self, image_id: str) -> Mapping[str, Any]:
        """Its configuration, over which a container's is laid."""
        return self.get(image_id).get("Config") or NOTHING

    def find(self, reference: str) -> str:
        """The id of an image by any name, digest or id; empty for none."""
        try:
            found: Mapping[str, Any] = self.client.call("GET", f"/images/{reference}/json")
        except docker.errors.NotFound:
            return ""
        image_id = whole_id(str(found["Id"]))
        with self._lock:
            self._known[image_id] = found
        return image_id


def whole_id(text: str) -> str:
    """An image's id as a digest; Podman leaves out the algorithm."""
    return text if not text or text.startswith("sha256:") else f"sha256:{text}"
