"""The verbs that are no plan of resources: which module of this room answers which, imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

from bayplan import engines
from bayplan.errors import DeclarationError
from bayplan.models import Kind, ResourceId, Settings
from bayplan.runtime.protocol import Runtime
from bayplan.values import frozen

Opener = Callable[[Settings], AbstractContextManager[Runtime]]
ROOMS: Mapping[str, str] = {
    **dict.fromkeys(("container_info", "image_info", "network_info", "volume_info"), "looks"),
    **dict.fromkeys(("stack_info", "host_info"), "whole"),
    **dict.fromkeys(("generation", "drift_info"), "past"),
    **dict.fromkeys(("container_exec", "container_logs"), "inside"),
    "container_copy": "files",
    "container": "containers",
    **dict.fromkeys(("image", "image_copy"), "image"),
    **dict.fromkeys(("volume_backup", "volume_restore"), "volumes"),
    **dict.fromkeys(("secret", "config"), "kept"),
    "registry_login": "logins",
    "registry": "registries",
    "containers": "listing",
    "send": "sent",
    "context": "contexts",
    **dict.fromkeys(("singles", "observed", "held", "reached"), "singles"),
    "suits": "suiting",
    **dict.fromkeys(("resolved", "pushed"), "pushes"),
    "told": "telling",
    "prune": "prunes",
}


@frozen
class Asked:
    """One request: its verb and options, whether it may only look, and the engine it is for."""

    verb: str
    options: Mapping[str, Any]
    check: bool
    settings: Settings
    opener: Opener

    @contextmanager
    def opened(self, project: str = "") -> Iterator[tuple[Runtime, Settings]]:
        """The engine, and the settings that name it; ``auto`` is who has the project."""
        settings = engines.chosen(self.settings, lambda: project)
        with self.opener(settings) as runtime:
            yield runtime, settings

    def text(self, name: str) -> str:
        """An option that must be given. Raises DeclarationError naming it."""
        value = self.options.get(name)
        if value in (None, ""):
            raise DeclarationError(f"{name} is missing", where=f"{self.verb} request")
        return str(value)


def answer(asked: Asked) -> dict[str, Any]:
    """The response of the verb's own function. Raises errors of ``bayplan.errors``."""
    room = importlib.import_module(f"bayplan.bridge.{ROOMS[asked.verb]}")
    return cast("dict[str, Any]", getattr(room, asked.verb)(asked))


def container_ids(names: Iterable[str]) -> tuple[ResourceId, ...]:
    """Containers by their names."""
    return tuple(ResourceId(kind=Kind.CONTAINER, name=name) for name in names)
