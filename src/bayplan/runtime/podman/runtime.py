"""Podman behind the runtime protocol."""

from __future__ import annotations

from bayplan.runtime.engine_api.images.remote import Direct, Remote
from bayplan.runtime.engine_api.runtime import EngineRuntime


class PodmanRuntime(EngineRuntime):
    """Podman's service on this host or another, at the place that the settings name."""

    kind = "podman"

    def registries(self) -> Remote:
        """Podman hands no question to a registry on: it is asked from here, by the same registries.conf(5)."""
        return Direct(self.settings)
