"""Containers as Podman shows them, in the form of Docker's inspections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.runtime.engine_api.containers import Containers


class PodmanContainers(Containers):
    """The same reading, of inspections in Docker's form."""

    def inspect(self, name: str) -> Mapping[str, Any] | None:
        """In Docker's form."""
        found = super().inspect(name)
        return None if found is None else in_dockers_form(found)

    def _inspect(self, container_id: str) -> Mapping[str, Any] | None:
        found = super()._inspect(container_id)
        return None if found is None else in_dockers_form(found)


def in_dockers_form(found: Mapping[str, Any]) -> dict[str, Any]:
    """An inspection with ids of networks where Podman gives their names: it has networks by name alone."""
    settings = dict(found.get("NetworkSettings") or {})
    settings["Networks"] = {
        name: {**(place or {}), "NetworkID": ""} for name, place in (settings.get("Networks") or {}).items()
    }
    return {**found, "NetworkSettings": settings}
