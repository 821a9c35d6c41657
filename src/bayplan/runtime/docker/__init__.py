"""Docker, by its Engine API (docs.docker.com, "Engine API"): 1.41 (Docker 20.10) and later."""

from bayplan.runtime.docker.runtime import DockerRuntime

__all__ = ["DockerRuntime"]
