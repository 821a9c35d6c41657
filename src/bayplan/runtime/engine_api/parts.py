"""What the runtime of an engine is composed of, each part made at its first use."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

from bayplan.models import Settings
from bayplan.runtime.engine_api import networks, options, volumes
from bayplan.runtime.engine_api.client import EngineClient, connect, told
from bayplan.runtime.engine_api.containers import Containers
from bayplan.runtime.engine_api.declarations import Declarations
from bayplan.runtime.engine_api.engine import Engine, ask
from bayplan.runtime.engine_api.images.images import Images
from bayplan.runtime.engine_api.images.remote import Distribution, Remote
from bayplan.runtime.engine_api.options import limits
from bayplan.runtime.engine_api.options.option import Option

if TYPE_CHECKING:
    from bayplan.runtime.engine_api.images.lent import LentBuilder
    from bayplan.runtime.engine_api.images.verbs import EngineImageVerbs

_AT_ONCE = 8
"""Questions to the engine at the same time."""


class EngineParts:
    """One engine's client and what is read and changed by it. Safe to use from many threads."""

    kind: str
    table: Mapping[str, Option] = options.TABLE
    limits_in_place: frozenset[str] = limits.IN_PLACE
    limits_resettable: frozenset[str] = limits.RESETTABLE

    def __init__(self, settings: Settings, *, lent: LentBuilder | None = None) -> None:
        self.settings, self._lent = settings, lent
        self.client: EngineClient = connect(settings, self.kind)
        self.pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="engine")
        self.declarations = Declarations(settings.state_root / "engines.db")

    @cached_property
    def engine(self) -> Engine:
        """What it says of itself, asked once."""
        with told(self.kind):
            return ask(self.client)

    @cached_property
    def containers(self) -> Containers:
        """Containers as it shows them."""
        return Containers(self.client, self.engine, self.declarations, self.pool, self.table)

    @cached_property
    def networks(self) -> networks.Networks:
        """Its networks."""
        return networks.Networks(self.client, self.engine, self.declarations)

    @cached_property
    def volumes(self) -> volumes.Volumes:
        """Its volumes."""
        return volumes.Volumes(self.client, self.declarations)

    @cached_property
    def images(self) -> Images:
        """Its images, by its own builder or one that is lent to it."""
        return Images(
            self.client, self.settings, remote=self.registries(), lent=self._lent, changed=self.containers.bases.forget
        )

    def registries(self) -> Remote:
        """Who says what a registry has under a name."""
        return Distribution(self.client)

    @cached_property
    def image_verbs(self) -> EngineImageVerbs:
        """Images by name, loaded at first use."""
        from bayplan.runtime.engine_api.images.verbs import EngineImageVerbs

        return EngineImageVerbs(self.client, self.images, self.containers)
