"""What the host knows of resources once they are there: the outputs of the package beside the inputs."""

from __future__ import annotations

from pydantic import Field

from bayplan.models.base import Model


class BoundPort(Model):
    """A published port as it is on the host, also when the host chose it."""

    host_ip: str = Field(description="Address that it is bound to.")
    published: int = Field(description="Port on the host.")
    target: int = Field(description="Port in the container.")
    protocol: str = Field(description="tcp, udp or sctp.")


class Live(Model):
    """What a container is doing."""

    container_id: str = Field(description="The engine's own identifier.")
    image_digest: str = Field(description="Digest of the manifest of the image that it was made from.")
    state: str = Field(description="created, running, paused, exited, restarting, incomplete or defect.")
    health: str = Field(description="none, starting, healthy or unhealthy.")
    exit_code: int | None = Field(None, description="Exit code of one that has ended.")
    addresses: dict[str, str] = Field(description="Network to IPv4 address, or IPv6 where it has no other.")
    addresses_v6: dict[str, str] = Field(description="Network to IPv6 address.")
    bound_ports: tuple[BoundPort, ...] = Field(description="Published ports as they are on the host.")


class OfContainer(Live):
    """Of a Container."""

    defects: tuple[str, ...] = Field(description="What of it is missing on the host; the next update mends it.")
    notes: tuple[str, ...] = Field(description="What is less than it could be, and only the user can mend.")


class OfImage(Model):
    """Of an Image."""

    digest: str = Field(description="Digest of the manifest; not known in a preview that will change it.")
    reference: str = Field(description="Name and digest: what a Container takes so that it follows each change.")
    image_id: str = Field(description="Digest of the configuration, by which engines name an image.")
    fingerprint: str | None = Field(None, description="Of an image that is built: what its build was made of.")


class OfNetwork(Model):
    """Of a Network."""

    network_id: str = Field(description="The engine's own identifier.")
    link: str | None = Field(None, description="Name of the bridge on the host, where there is one.")
    subnets: tuple[str, ...] = Field(description="Address ranges, the chosen ones too.")
    gateways: tuple[str, ...] = Field(description="Addresses of the gateways, one for each range that has one.")
    defects: tuple[str, ...] = Field(description="What of it is missing on the host; the next update mends it.")


class OfVolume(Model):
    """Of a Volume."""

    defects: tuple[str, ...] = Field(description="What of it is missing on the host; the next update mends it.")


class OfKept(Model):
    """Of a Secret or a Config."""

    path: str | None = Field(None, description="File on the host that keeps it; a swarm has none.")


class StackContainer(Live):
    """One container of a stack."""

    name: str = Field(description="Name on the host.")


class StackService(Model):
    """What a stack has of one service."""

    containers: tuple[StackContainer, ...] = Field(description="Its replicas.")


class OfStack(Model):
    """Of a Stack."""

    generation: int | None = Field(None, description="Number of the generation that it is at.")
    services: dict[str, StackService] = Field(description="Service to what runs of it.")
    images: dict[str, str] = Field(description="Image of the declaration to the digest that it stood for.")


class OfRegistryImage(Model):
    """Of a RegistryImage."""

    digest: str = Field(description="Digest of the manifest in the registry.")
    reference: str = Field(description="Name and digest.")
