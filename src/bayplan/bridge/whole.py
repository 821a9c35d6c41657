"""The host and a project as a whole."""

from __future__ import annotations

from typing import Any

from bayplan import __version__
from bayplan.bridge.looks import all_containers
from bayplan.bridge.rooms import Asked
from bayplan.models import Container, Kind
from bayplan.runtime.protocol import Observed, Scope

_LIVE = ("running", "paused", "restarting")


def host_info(asked: Asked) -> dict[str, Any]:
    """What the engine of this host is, can do, and has."""
    with asked.opened() as (runtime, settings):
        facts = runtime.facts()
        images = runtime.image_verbs.summaries()
        has = {
            "containers": all_containers(runtime),
            "images": [name for one in images for name in (one.names or (one.digest,))],
            "networks": sorted(item.id.name for item, _ in runtime.networks_there()),
            "volumes": sorted(item.id.name for item, _ in runtime.volumes_there()),
        }
    return {
        "changed": False,
        "host": {"name": facts.host, "engine": facts.engine, "engine_version": facts.version, "bayplan": __version__},
        "unsupported": dict(sorted(facts.unsupported.items())),
        "state_root": str(settings.state_root),
        **has,
    }


def stack_info(asked: Asked) -> dict[str, Any]:
    """What a project has: each resource with its state, containers with health, addresses and ports."""
    project, told = asked.text("project_name"), dict[str, Any]()
    with asked.opened(project) as (runtime, settings):
        if asked.options.get("report"):
            from bayplan.app import environments

            told["report"] = environments.report(project, runtime, settings).model_dump(mode="json")
        found = [item for item in runtime.observe(Scope(project=project)).resources.values() if not item.superseded]
    found.sort(key=lambda item: (str(item.id.kind), item.id.name))
    containers = [item for item in found if item.actual.kind is Kind.CONTAINER]
    live = [item for item in containers if item.status.state.value in _LIVE]
    return {
        "changed": False,
        **told,
        "exists": bool(found),
        "engine": settings.engine,
        "running": len(live),
        "healthy": bool(containers) and len(live) == len(containers) and all(map(_is_well, live)),
        "containers": [_row(item) for item in containers],
        **{
            f"{kind.value}s": [_row(item) for item in found if item.actual.kind is kind]
            for kind in (Kind.SERVICE, Kind.NETWORK, Kind.VOLUME)
        },
    }


def _is_well(item: Observed) -> bool:
    return item.status.health.value in ("none", "healthy")


def _row(item: Observed) -> dict[str, Any]:
    row = {"name": item.id.name, "id": item.handle, **item.status.model_dump(mode="json")}
    row["defects"] = list(item.defects)
    if isinstance(item.actual, Container):
        row |= {"service": item.actual.service, "image": item.actual.image, "image_digest": item.image_digest}
    return row
