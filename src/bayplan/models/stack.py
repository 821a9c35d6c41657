"""A stack: everything one project declares for one host, with final names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Self

from pydantic import Field

from bayplan.models.base import Kind, Model, Resource, ResourceId
from bayplan.models.container import Container
from bayplan.models.image import Image
from bayplan.models.network import Network
from bayplan.models.volume import Volume


class Allowance(Model):
    """Fields of a declaration that may differ from one environment to another."""

    path: str = Field(
        min_length=1,
        description="Dotted place, such as services.web.environment.LOG_LEVEL, and all below it; * is any name.",
    )
    why: str = Field("", description="The reason, for whoever reads a comparison.")


class Holder(Model):
    """A model with resources in it.

    What pydantic checks with is made for each model that holds another one, and for that one each time, unless it was
    made for itself before: 10 ms for a container, in three models of every plan.
    """

    @classmethod
    def model_rebuild(cls, **options: Any) -> bool | None:
        """Make what it is checked with, that of resources first. As pydantic's."""
        if not cls.__pydantic_complete__:
            for model in RESOURCE_MODELS.values():
                model.model_rebuild()
        return super().model_rebuild(**options)


class Stack(Holder):
    """Desired state. Names are final (``<project>_<key>``), replicas are expanded, owner labels are set."""

    name: str = Field(description="Project name; empty for resources outside a project.")
    images: tuple[Image, ...] = Field((), description="Images the containers need, each once.")
    networks: tuple[Network, ...] = ()
    volumes: tuple[Volume, ...] = ()
    containers: tuple[Container, ...] = ()
    directory: str = Field("", description="Directory that relative paths of the files are below.")
    allowed: tuple[Allowance, ...] = Field((), description="Fields that may differ between its environments.")
    sources: tuple[str, ...] = Field((), description="Files the stack was read from, for messages.")

    def resources(self) -> Iterator[Resource]:
        """Every resource, in the order of the kinds."""
        yield from self.images
        yield from self.networks
        yield from self.volumes
        yield from self.containers

    def find(self, wanted: ResourceId) -> Resource | None:
        """The resource of that kind and name, if declared."""
        return self._by_id.get(wanted)

    def containers_of(self, service: str) -> tuple[Container, ...]:
        """The containers of a service; outside a stack, the container of that name."""
        return self._by_service.get(service, ())

    def sealed(self, key: bytes) -> Self:
        """With the fingerprints of what its containers are given."""
        return self.model_copy(update={"containers": tuple(item.sealed(key) for item in self.containers)})

    @cached_property
    def _by_id(self) -> dict[ResourceId, Resource]:
        return {item.id: item for item in reversed(tuple(self.resources()))}

    @cached_property
    def _by_service(self) -> dict[str, tuple[Container, ...]]:
        found: dict[str, list[Container]] = {}
        for item in self.containers:
            for called in dict.fromkeys((item.service, item.name)):
                found.setdefault(called, []).append(item)
        return {called: tuple(items) for called, items in found.items()}


RESOURCE_MODELS: dict[Kind, type[Resource]] = {
    Kind.IMAGE: Image,
    Kind.NETWORK: Network,
    Kind.VOLUME: Volume,
    Kind.CONTAINER: Container,
}
