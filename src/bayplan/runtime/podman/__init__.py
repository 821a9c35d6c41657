"""Podman, by its answer to Docker's API, and by its own where that loses something: 4.3 and later."""

from bayplan.runtime.podman.runtime import PodmanRuntime

__all__ = ["PodmanRuntime"]
