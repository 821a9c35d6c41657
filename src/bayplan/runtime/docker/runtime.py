"""Docker behind the runtime protocol."""

from __future__ import annotations

from bayplan.errors import RuntimeFailureError
from bayplan.models import Kind, ResourceId
from bayplan.runtime.docker import kernel
from bayplan.runtime.engine_api.runtime import EngineRuntime
from bayplan.runtime.protocol import Scope, Snapshot
from bayplan.system import links


class DockerRuntime(EngineRuntime):
    """dockerd on this host or another, at the place that the settings name."""

    kind = "docker"

    def observe(self, scope: Scope) -> Snapshot:
        """What Docker says, held against the kernel where that is this host's."""
        pid = kernel.daemon(self.client)
        rules = self.pool.submit(kernel.rules_of, pid) if pid else None
        found = super().observe(scope)
        return found if rules is None else kernel.seen(found, rules.result())

    def heal(self, target: ResourceId) -> None:
        """Set a network's bridge up."""
        if target.kind is not Kind.NETWORK or kernel.daemon(self.client) is None:
            return
        for found in self.networks.named(target.name):
            bridge = kernel.bridge_of(found)
            try:
                links.set_up(bridge)
            except OSError as error:
                raise RuntimeFailureError(f"{bridge}: {error.strerror}", where=str(target)) from error
