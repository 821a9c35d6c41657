"""What is asked of an engine before it is chosen: who answers, and whether it has a project."""

from __future__ import annotations

from bayplan.errors import UnsupportedError
from bayplan.models import Settings, labels
from bayplan.runtime.engine_api.answers import AnswerError
from bayplan.runtime.engine_api.client import EngineClient, connect, told


def kind_of(settings: Settings) -> str:
    """Who answers at the address or context that the settings name: docker or podman. Raises as ``connect``."""
    try:
        connect(settings, "docker").close()
    except UnsupportedError as error:
        if "is podman" not in error.what:
            raise
        return "podman"
    return "docker"


def holder(settings: Settings, kind: str, project: str) -> str | None:
    """Who has a project there: the engine as containers, its swarm as a stack, or nobody. Raises as ``connect``."""
    client = connect(settings, kind)
    try:
        with told(f"{kind} at {client.place.address}"):
            asked = {"all": True, "filters": {"label": [f"{labels.PROJECT}={project}"]}}
            if client.call("GET", "/containers/json", query=asked):
                return kind
            return "swarm" if kind == "docker" and _is_stack(client, project) else None
    finally:
        client.close()


def _is_stack(client: EngineClient, project: str) -> bool:
    """Only a manager of a swarm answers."""
    try:
        return bool(client.call("GET", "/services", query={"filters": {"label": [f"{labels.STACK}={project}"]}}))
    except AnswerError as error:
        if error.status_code in (406, 503):
            return False
        raise
