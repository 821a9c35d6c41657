"""What one project declares for a swarm."""

from __future__ import annotations

from collections.abc import Iterator

from bayplan.models.base import Kind, Resource
from bayplan.models.stack import Stack
from bayplan.models.swarm.node import SwarmNode
from bayplan.models.swarm.overlay import OverlayNetwork
from bayplan.models.swarm.secrets import Config, Secret
from bayplan.models.swarm.service import Service


class SwarmStack(Stack):
    """Desired state of a swarm: of a project, or (without a name) of its nodes. It has no containers of its own."""

    overlays: tuple[OverlayNetwork, ...] = ()
    secrets: tuple[Secret, ...] = ()
    configs: tuple[Config, ...] = ()
    nodes: tuple[SwarmNode, ...] = ()
    services: tuple[Service, ...] = ()

    def resources(self) -> Iterator[Resource]:
        """Every resource, in the order of the kinds."""
        yield from super().resources()
        yield from self.overlays
        yield from self.secrets
        yield from self.configs
        yield from self.nodes
        yield from self.services

    def sealed(self, key: bytes) -> SwarmStack:
        """With secrets and configs by the names of their versions, also where services ask for them."""
        secrets, configs = (tuple(one.sealed(key) for one in found) for found in (self.secrets, self.configs))
        names = {
            Kind.SECRET: {one.name: new.name for one, new in zip(self.secrets, secrets, strict=True)},
            Kind.CONFIG: {one.name: new.name for one, new in zip(self.configs, configs, strict=True)},
        }
        services = tuple(item.sealed(names) for item in self.services)
        return self.model_copy(update={"secrets": secrets, "configs": configs, "services": services})
