"""A stack: everything one project declares for one host, with final names."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from bayplan.models.base import Kind, Model, Resource, ResourceId
from bayplan.models.container import Container
from bayplan.models.image import Image
from bayplan.models.network import Network
from bayplan.models.secret import Config, Secret
from bayplan.models.volume import Volume


class Stack(Model):
    """Desired state. Names are final (``<project>_<key>``), replicas are expanded, owner labels are set."""

    name: str = Field(description="Project name; empty for resources outside a project.")
    images: tuple[Image, ...] = Field((), description="Images the containers need, each once.")
    networks: tuple[Network, ...] = ()
    volumes: tuple[Volume, ...] = ()
    secrets: tuple[Secret, ...] = ()
    configs: tuple[Config, ...] = ()
    containers: tuple[Container, ...] = ()
    sources: tuple[str, ...] = Field((), description="Files the stack was read from, for messages.")

    def resources(self) -> Iterator[Resource]:
        """Every resource, in the order of the kinds."""
        yield from self.images
        yield from self.networks
        yield from self.volumes
        yield from self.secrets
        yield from self.configs
        yield from self.containers

    def find(self, wanted: ResourceId) -> Resource | None:
        """The resource of that kind and name, if declared."""
        return next((item for item in self.resources() if item.id == wanted), None)

    def containers_of(self, service: str) -> tuple[Container, ...]:
        """The containers of a service; outside a stack, the container of that name."""
        return tuple(item for item in self.containers if service in (item.service, item.name))


RESOURCE_MODELS: dict[Kind, type[Resource]] = {
    Kind.IMAGE: Image,
    Kind.NETWORK: Network,
    Kind.VOLUME: Volume,
    Kind.SECRET: Secret,
    Kind.CONFIG: Config,
    Kind.CONTAINER: Container,
}
