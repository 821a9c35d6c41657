"""Services: what a swarm keeps running on its nodes. Where each task runs is the swarm's to say (Docker Engine API)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from bayplan.models.base import IN_PLACE, NO_CHANGE, RECREATE, SENSITIVE, Kind, Model, Resource
from bayplan.models.container import HealthCheck
from bayplan.models.limits import Ulimit
from bayplan.models.mounts import BindMount, TmpfsMount, VolumeMount
from bayplan.models.rolling import RollbackPolicy, UpdatePolicy
from bayplan.models.secret import FileGrant
from bayplan.models.swarm.rolling import TaskRestart
from bayplan.models.swarm.secrets import versioned
from bayplan.models.types import (
    AbsolutePath,
    ByteSize,
    Capability,
    Duration,
    EnvName,
    HostName,
    ResourceName,
    SignalName,
)

ServiceName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?$")]
"""At most 63 characters that a name server can hold (SwarmKit, "validateAnnotations")."""


class ServicePort(Model):
    """A port of the tasks made reachable on nodes."""

    target: int = Field(ge=1, le=65535, description="Port in the task's container.")
    published: int = Field(0, ge=0, le=65535, description="Port on nodes; 0 lets the swarm choose.")
    protocol: Literal["tcp", "udp", "sctp"] = Field("tcp", description="Transport protocol.")
    mode: Literal["ingress", "host"] = Field(
        "ingress", description="ingress: every node passes it on to a task; host: only nodes that run a task have it."
    )

    def __str__(self) -> str:
        return f"{self.mode}:{self.published or '*'}->{self.target}/{self.protocol}"


class ServiceNetwork(Model):
    """A network that the tasks are on."""

    network: ResourceName = Field(description="Name of the network.")
    aliases: tuple[HostName, ...] = Field((), description="Further names by which peers find the service.")
    driver_opts: dict[str, str] = Field(default_factory=dict, description="Options of the network's driver.")


class ServiceVolume(VolumeMount):
    """A volume of the node that a task runs on, made there when it is absent; another node has another one."""

    source: str = Field("", description="Name of the volume; empty for one of the task's own.")
    driver: str | None = Field(None, description="Who keeps the data; local when unset.")
    driver_opts: dict[str, str] = Field(default_factory=dict, description="Options of the driver.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels of the volume when it is made.")


ServiceMount = Annotated[ServiceVolume | BindMount | TmpfsMount, Field(discriminator="type")]


class LogDriver(Model):
    """Where the engine of each node keeps what tasks write."""

    driver: str = Field(description="A log driver that the nodes' engines have.")
    options: dict[str, str] = Field(default_factory=dict, description="Its options.")


class Placement(Model):
    """Which nodes may run the tasks; the swarm chooses among them."""

    constraints: tuple[str, ...] = Field((), description="Such as node.labels.disk==ssd; a node must meet all.")
    spread: tuple[str, ...] = Field((), description="Labels over whose values tasks are spread, most important first.")
    max_replicas_per_node: int = Field(0, ge=0, description="Most tasks on one node; 0 is no limit.")


class TaskLimits(Model):
    """What a task may use at most; unset is unlimited."""

    cpus: float | None = Field(None, gt=0, description="CPU time, in processors.")
    memory: ByteSize | None = Field(None, gt=0, description="Memory, bytes.")
    pids: int | None = Field(None, gt=0, description="Processes and threads.")


class TaskReservations(Model):
    """What a node must have free for a task."""

    cpus: float | None = Field(None, gt=0, description="CPU time, in processors.")
    memory: ByteSize | None = Field(None, gt=0, description="Memory, bytes.")
    generic: dict[str, int] = Field(default_factory=dict, description="Resources that nodes announce, by their kind.")


class Service(Resource):
    """Tasks of one kind in a swarm. Unset options mean the image's value or the engine's default."""

    name: ServiceName = Field(description="Name in the swarm.")
    service: Annotated[str, NO_CHANGE] = Field("", description="Key of the service in its stack; may be empty.")
    image: Annotated[str, IN_PLACE] = Field(description="Reference of the image to run.")
    digest: Annotated[str | None, IN_PLACE] = Field(
        None, description="What the reference stood for, so that all nodes run the same; set when the plan is made."
    )
    mode: Annotated[Literal["replicated", "global"], RECREATE] = Field(
        "replicated", description="replicated: a number of tasks; global: one on each node that placement allows."
    )
    replicas: Annotated[int, IN_PLACE] = Field(1, ge=0, description="Tasks of a replicated service.")
    entrypoint: Annotated[tuple[str, ...] | None, IN_PLACE] = Field(None, description="Program; the image's if unset.")
    command: Annotated[tuple[str, ...] | None, IN_PLACE] = Field(None, description="Arguments; the image's if unset.")
    environment: Annotated[dict[EnvName, str], IN_PLACE, SENSITIVE] = Field(
        default_factory=dict, description="Environment variables; the swarm fills in templates such as {{.Node.ID}}."
    )
    working_dir: Annotated[AbsolutePath | None, IN_PLACE] = Field(None, description="Directory the command starts in.")
    user: Annotated[str | None, IN_PLACE] = Field(None, description="user[:group], names or numbers.")
    group_add: Annotated[tuple[str, ...], IN_PLACE] = Field((), description="Further groups, names or numbers.")
    hostname: Annotated[str | None, IN_PLACE] = Field(None, description="Host name inside; may be a template.")
    labels: Annotated[dict[str, str], IN_PLACE] = Field(default_factory=dict, description="Labels of the service.")
    container_labels: Annotated[dict[str, str], IN_PLACE] = Field(
        default_factory=dict, description="Labels of the tasks' containers."
    )
    networks: Annotated[tuple[ServiceNetwork, ...], IN_PLACE] = Field((), description="Networks of the tasks.")
    endpoint_mode: Annotated[Literal["vip", "dnsrr"], IN_PLACE] = Field(
        "vip", description="vip: one virtual address for all tasks (IPVS); dnsrr: its name gives the tasks' addresses."
    )
    ports: Annotated[tuple[ServicePort, ...], IN_PLACE] = Field((), description="Published ports.")
    mounts: Annotated[tuple[ServiceMount, ...], IN_PLACE] = Field((), description="Volumes, binds and tmpfs.")
    secrets: Annotated[tuple[FileGrant, ...], IN_PLACE] = Field((), description="Secrets of the swarm, as files.")
    configs: Annotated[tuple[FileGrant, ...], IN_PLACE] = Field((), description="Configs of the swarm, as files.")
    limits: Annotated[TaskLimits, IN_PLACE] = Field(default_factory=TaskLimits, description="The most of each task.")
    reservations: Annotated[TaskReservations, IN_PLACE] = Field(
        default_factory=TaskReservations, description="Kept free for each task on its node."
    )
    placement: Annotated[Placement, IN_PLACE] = Field(default_factory=Placement, description="Nodes that may run it.")
    restart: Annotated[TaskRestart, IN_PLACE] = Field(default_factory=TaskRestart, description="After a task's end.")
    update: Annotated[UpdatePolicy, IN_PLACE] = Field(default_factory=UpdatePolicy, description="How changes roll.")
    rollback: Annotated[RollbackPolicy, IN_PLACE] = Field(
        default_factory=RollbackPolicy, description="How an update is taken back."
    )
    healthcheck: Annotated[HealthCheck | None, IN_PLACE] = Field(None, description="The image's when unset.")
    extra_hosts: Annotated[dict[str, str], IN_PLACE] = Field(
        default_factory=dict, description="Names to addresses in /etc/hosts."
    )
    dns: Annotated[tuple[str, ...], IN_PLACE] = Field((), description="Name servers.")
    dns_search: Annotated[tuple[str, ...], IN_PLACE] = Field((), description="Search list.")
    dns_opt: Annotated[tuple[str, ...], IN_PLACE] = Field((), description="Options of resolv.conf(5).")
    cap_add: Annotated[tuple[Capability, ...], IN_PLACE] = Field((), description="Capabilities over the default set.")
    cap_drop: Annotated[tuple[Capability, ...], IN_PLACE] = Field((), description="Capabilities taken away.")
    sysctls: Annotated[dict[str, str], IN_PLACE] = Field(default_factory=dict, description="Namespaced settings.")
    ulimits: Annotated[dict[str, Ulimit], IN_PLACE] = Field(default_factory=dict, description="Limits of getrlimit(2).")
    read_only: Annotated[bool, IN_PLACE] = Field(False, description="Root file system read-only.")
    init: Annotated[bool | None, IN_PLACE] = Field(None, description="A small init as PID 1; the engine's if unset.")
    tty: Annotated[bool, IN_PLACE] = Field(False, description="A terminal for standard input and output.")
    stdin_open: Annotated[bool, IN_PLACE] = Field(False, description="Keep standard input open.")
    stop_signal: Annotated[SignalName | None, IN_PLACE] = Field(
        None, description="Signal that asks it to end; the image's."
    )
    stop_grace_period: Annotated[Duration, IN_PLACE] = Field(
        Duration(seconds=10), description="Time between the stop signal and SIGKILL."
    )
    logging: Annotated[LogDriver | None, IN_PLACE] = Field(None, description="Log driver; the nodes' own when unset.")
    depends_on: Annotated[tuple[str, ...], NO_CHANGE] = Field((), description="Services that must run first, by key.")

    @property
    def kind(self) -> Kind:
        """Service."""
        return Kind.SERVICE

    def sealed(self, names: Mapping[Kind, Mapping[str, str]]) -> Service:
        """With secrets and configs by the names of their versions (``secret.versioned``)."""
        update = {
            "secrets": versioned(self.secrets, names.get(Kind.SECRET, {})),
            "configs": versioned(self.configs, names.get(Kind.CONFIG, {})),
        }
        return self.model_copy(update=update)

    @model_validator(mode="after")
    def _ways_in(self) -> Service:
        if self.endpoint_mode == "dnsrr" and any(port.mode == "ingress" for port in self.ports):
            raise ValueError("ports in mode ingress need endpoint_mode vip; with dnsrr use mode: host")
        return self

    @model_validator(mode="after")
    def _of_the_mode(self) -> Service:
        if self.mode == "global" and self.replicas != 1:
            raise ValueError("a global service has a task on each node: replicas mean nothing")
        if self.mode == "global" and self.placement.max_replicas_per_node:
            raise ValueError("max_replicas_per_node is of replicated services")
        if self.stop_grace_period < timedelta():
            raise ValueError("stop_grace_period cannot be negative")
        return self
