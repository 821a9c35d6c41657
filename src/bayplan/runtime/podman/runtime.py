"""Podman behind the runtime protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from bayplan.models import Condition, Duration
from bayplan.runtime.engine_api.images.remote import Direct, Remote
from bayplan.runtime.engine_api.options.option import Option
from bayplan.runtime.engine_api.runtime import EngineRuntime
from bayplan.runtime.engine_api.status import status_of
from bayplan.runtime.podman.checks import Checks
from bayplan.runtime.podman.containers import PodmanContainers
from bayplan.runtime.podman.options import PODMAN_TABLE
from bayplan.runtime.protocol import Facts, State, Status, never


class PodmanRuntime(EngineRuntime):
    """Podman's service on this host or another, at the place that the settings name."""

    kind = "podman"
    table: Mapping[str, Option] = PODMAN_TABLE
    limits_in_place: frozenset[str] = frozenset()
    limits_resettable: frozenset[str] = frozenset()

    @cached_property
    def containers(self) -> PodmanContainers:
        """Containers as it shows them."""
        return PodmanContainers(self.client, self.engine, self.declarations, self.pool, self.table)

    def facts(self) -> Facts:
        """A restart policy cannot be changed either, before Podman 5.1 by nobody."""
        facts = super().facts()
        return facts.model_copy(update={"in_place": facts.in_place - {"restart"}})

    def registries(self) -> Remote:
        """Podman hands no question to a registry on: it is asked from here, by the same registries.conf(5)."""
        return Direct(self.settings)

    def send_signal(self, found: Mapping[str, Any], number: int, *, ends: bool) -> None:
        """Podman signals none that is paused: it goes on first."""
        if ends and status_of(found).state is State.PAUSED:
            self.client.call("POST", f"/containers/{found['Id']}/unpause")
        super().send_signal(found, number, ends=ends)

    def wait(self, name: str, condition: str, timeout: Duration, *, stopped: Callable[[], bool] = never) -> Status:
        """Wait for a condition; fails fast.

        Podman leaves health checks to timers of systemd; where another is PID 1, nobody but we would run them.
        """
        if condition != Condition.HEALTHY:
            return super().wait(name, condition, timeout, stopped=stopped)
        check = Checks(self.client, self.containers.get(name))

        def look() -> bool:
            check()
            return stopped()

        return super().wait(name, condition, timeout, stopped=look)
