"""What is asked of an engine before it is chosen: who answers, and whether it has a project's containers."""

from __future__ import annotations

from bayplan.errors import UnsupportedError
from bayplan.models import Settings, labels
from bayplan.runtime.engine_api.client import connect, told


def kind_of(settings: Settings) -> str:
    """Who answers at the address or context that the settings name: docker or podman. Raises as ``connect``."""
    try:
        connect(settings, "docker").close()
    except UnsupportedError as error:
        if "is podman" not in error.what:
            raise
        return "podman"
    return "docker"


def has_project(settings: Settings, kind: str, project: str) -> bool:
    """Whether the engine of a kind has containers of a project. Raises as ``connect``."""
    client = connect(settings, kind)
    try:
        with told(f"{kind} at {client.place.address}"):
            asked = {"all": True, "filters": {"label": [f"{labels.PROJECT}={project}"]}}
            return bool(client.call("GET", "/containers/json", query=asked))
    finally:
        client.close()
