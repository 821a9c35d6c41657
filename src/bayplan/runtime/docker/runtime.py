"""Docker behind the runtime protocol."""

from __future__ import annotations

from bayplan.runtime.engine_api.runtime import EngineRuntime


class DockerRuntime(EngineRuntime):
    """dockerd on this host or another, at the place that the settings name."""

    kind = "docker"
