"""A container as the API shows it: the same form for what is asked for and for what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bayplan.runtime.engine_api.engine import Engine

NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass
class Body:
    """The parts of a create request, filled by the options."""

    engine: Engine
    image: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    """The image's own configuration, over which ``config`` is laid."""
    config: dict[str, Any] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    """EndpointSettings of each network, the first one first."""


@dataclass(frozen=True)
class Shape:
    """What options are read from."""

    engine: Engine
    image: Mapping[str, Any]
    config: Mapping[str, Any]
    host: Mapping[str, Any]
    endpoints: Mapping[str, Mapping[str, Any]]
    id: str = ""
    containers: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    """Ids of the engine's containers to their names."""

    @classmethod
    def of_body(cls, body: Body) -> Shape:
        """What a container made of the body would show."""
        return cls(body.engine, body.image, _merged(body.config, body.image), body.host, body.endpoints)

    @classmethod
    def of_inspection(
        cls, found: Mapping[str, Any], image: Mapping[str, Any], engine: Engine, containers: Mapping[str, str]
    ) -> Shape:
        """What ``GET /containers/ID/json`` says; ``image`` is the Config of its image."""
        endpoints = (found.get("NetworkSettings") or NOTHING).get("Networks") or NOTHING
        return cls(
            engine=engine,
            image=image,
            config=found.get("Config") or NOTHING,
            host=found.get("HostConfig") or NOTHING,
            endpoints={name: settings or NOTHING for name, settings in endpoints.items()},
            id=str(found["Id"]),
            containers=containers,
        )

    def owner(self, mode: str) -> str:
        """``container:ID`` as ``container:NAME``; any other mode as it is."""
        kind, _, owner = mode.partition(":")
        return f"{kind}:{self.containers.get(owner, owner)}" if kind == "container" else mode


def _merged(config: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
    """A body's Config over its image's, as the engine does it (moby: ``merge`` of daemon/commit.go)."""
    found = {**config}
    for key in ("User", "WorkingDir", "StopSignal"):
        found[key] = config.get(key) or image.get(key) or ""
    own = config.get("Env") or []
    names = {entry.partition("=")[0] for entry in own}
    found["Env"] = [*own, *(entry for entry in image.get("Env") or () if entry.partition("=")[0] not in names)]
    for key in ("Labels", "ExposedPorts"):
        found[key] = {**(image.get(key) or {}), **(config.get(key) or {})}
    if not config.get("Entrypoint"):
        found["Cmd"] = config.get("Cmd") or image.get("Cmd")
        if config.get("Entrypoint") is None:
            found["Entrypoint"] = image.get("Entrypoint")
    elif found["Entrypoint"] == [""]:
        found["Entrypoint"] = None
    check = image.get("Healthcheck")
    if check:
        own_check = config.get("Healthcheck") or {}
        found["Healthcheck"] = {**check, **{key: value for key, value in own_check.items() if value}}
    return found
