"""The verb ``containers``: every container of the host, for those who choose among them.

``result`` is a list: ``name``, ``id``, ``project``, ``service``, ``image``, ``labels``, ``state``, ``health``,
``addresses`` (network to address), ``ports`` (``ADDRESS:PORT->TARGET/PROTOCOL``).
"""

from __future__ import annotations

from typing import Any

from bayplan.bridge.rooms import Asked
from bayplan.models import Container
from bayplan.runtime.protocol import Observed


def containers(asked: Asked) -> dict[str, Any]:
    """The answer. Changes nothing."""
    with asked.opened() as (runtime, _):
        found = runtime.containers_there()
    rows = [_row(item) for item in sorted(found, key=lambda item: item.id.name)]
    return {"changed": False, "plan": None, "diff": None, "result": rows}


def _row(item: Observed) -> dict[str, Any]:
    held, live = item.actual, item.status
    assert isinstance(held, Container)
    return {
        "name": held.name,
        "id": item.handle,
        "project": item.project,
        "service": held.service,
        "image": held.image,
        "labels": dict(held.labels),
        "state": live.state.value,
        "health": live.health.value,
        "addresses": dict(live.addresses),
        "ports": list(live.ports),
    }
