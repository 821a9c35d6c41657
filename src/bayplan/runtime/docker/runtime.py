"""Docker behind the runtime protocol."""

from __future__ import annotations

from bayplan.errors import RuntimeFailureError
from bayplan.models import Change, Container, Kind, Resource, ResourceId
from bayplan.runtime.docker import kernel
from bayplan.runtime.docker.rules import rules_of
from bayplan.runtime.engine_api.client import told
from bayplan.runtime.engine_api.options.endpoints import MACS_OF_PLACES
from bayplan.runtime.engine_api.runtime import EngineRuntime
from bayplan.runtime.protocol import Facts, Observed, Scope, Snapshot


class DockerRuntime(EngineRuntime):
    """dockerd on this host or another, at the place that the settings name."""

    kind = "docker"
    looked: kernel.Looked | None = None
    """What the last observation saw of the kernel; None where that is another host's."""

    def facts(self) -> Facts:
        """Since a MAC address is one of a place, and not of the container (API 1.44), it is lost with the place."""
        return super().facts().model_copy(update={"rejoins_with_mac": not self.engine.speaks(MACS_OF_PLACES)})

    def observe(self, scope: Scope) -> Snapshot:
        """What Docker says, held against the kernel where that is this host's."""
        pid = kernel.daemon(self.client)
        rules = self.pool.submit(rules_of, pid, self.engine) if pid else None
        found = super().observe(scope)
        self.looked = kernel.look(found, rules.result()) if rules else None
        return kernel.seen(found, self.looked) if self.looked else found

    def aligned(self, desired: Resource, observed: Observed) -> Observed:
        """A place with a MAC address of its own comes with a new container alone: a connect takes no address."""
        found = super().aligned(desired, observed)
        if isinstance(desired, Container) and isinstance(found.actual, Container):
            there = found.actual.networks
            wanting = [one.network for one in desired.networks if one.mac_address and one not in there]
            defects = {f"on network {name} it has another MAC address": Change.RECREATE.value for name in wanting}
            return found.model_copy(update={"defects": {**found.defects, **defects}}) if defects else found
        return found

    def heal(self, target: ResourceId) -> None:
        """Set a network's bridge up, and give it back the addresses that it lost with that."""
        if target.kind is not Kind.NETWORK or kernel.daemon(self.client) is None:
            return
        with told(str(target)):
            every = self.networks.named(target.name)
        for found in every:
            try:
                kernel.mend(found)
            except OSError as error:
                raise RuntimeFailureError(f"{kernel.bridge_of(found)}: {error.strerror}", where=str(target)) from error
