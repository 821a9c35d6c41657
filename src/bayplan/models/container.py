"""Containers: what people know from ``docker run``, typed."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bayplan.models.base import IN_PLACE, NO_CHANGE, RECREATE, SENSITIVE, Kind, Model, Resource
from bayplan.models.mounts import Mount
from bayplan.models.network import Endpoint
from bayplan.models.secret import FileGrant
from bayplan.models.types import AbsolutePath, ByteSize, Capability, Duration, EnvName, HostName, ResourceName


class Port(Model):
    """A container port made reachable on the host."""

    target: int = Field(ge=1, le=65535, description="Port in the container.")
    published: int = Field(0, ge=0, le=65535, description="Port on the host; 0 lets the host choose a free one.")
    last: int | None = Field(
        None, ge=1, le=65535, description="End of a range that begins with published, from which a free one is chosen."
    )
    host_ip: IPv4Address = Field(
        IPv4Address("0.0.0.0"),  # noqa: S104 - Compose's default; the plan shows it as an exposure
        description="Host address to bind; 0.0.0.0 is every address and is shown in the plan as an exposure.",
    )
    protocol: Literal["tcp", "udp", "sctp"] = Field("tcp", description="Transport protocol.")

    @property
    def chosen(self) -> bool:
        """Whether the host chooses the port."""
        return self.published == 0 or self.last is not None

    def __str__(self) -> str:
        shown = str(self.published or "*") + (f"-{self.last}" if self.last else "")
        return f"{self.host_ip}:{shown}->{self.target}/{self.protocol}"

    @model_validator(mode="after")
    def _range_in_order(self) -> Port:
        if self.last is not None and not 0 < self.published < self.last:
            raise ValueError(f"range {self.published}-{self.last} of host ports: the lower one comes first")
        return self


class HealthCheck(Model):
    """A command run in the container whose exit code 0 means healthy (Compose specification, "healthcheck")."""

    test: tuple[str, ...] = Field(description="``CMD`` and an argv, ``CMD-SHELL`` and a shell line, or ``NONE``.")
    interval: Duration = Field(Duration(seconds=30), description="Time between checks.")
    timeout: Duration = Field(Duration(seconds=30), description="Time after which a check counts as failed.")
    retries: int = Field(3, ge=1, description="Failures in a row after which the container is unhealthy.")
    start_period: Duration = Field(Duration(), description="Time after start in which failures do not count.")
    start_interval: Duration | None = Field(None, description="Time between checks during the start period.")

    @model_validator(mode="after")
    def _test_form(self) -> HealthCheck:
        if not self.test or self.test[0] not in ("NONE", "CMD", "CMD-SHELL"):
            raise ValueError("healthcheck test must start with NONE, CMD or CMD-SHELL")
        if self.test[0] != "NONE" and len(self.test) < 2:
            raise ValueError("healthcheck test names no command")
        if self.test[0] == "CMD-SHELL" and len(self.test) != 2:
            raise ValueError("healthcheck CMD-SHELL takes exactly one string")
        for name in ("interval", "timeout"):
            if getattr(self, name) < timedelta(milliseconds=1):
                raise ValueError(f"healthcheck {name} must be at least 1ms")
        return self


class RestartCondition(StrEnum):
    """When an ended container is started again."""

    NO = "no"
    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    UNLESS_STOPPED = "unless-stopped"


class RestartPolicy(Model):
    """Whether the supervisor starts the container again after it ended."""

    condition: RestartCondition = Field(RestartCondition.NO, description="When to start again.")
    max_retries: int | None = Field(None, ge=1, description="Restarts before giving up; unset: no limit.")


class Ulimit(Model):
    """A resource limit of the container's processes (getrlimit(2)); -1 is unlimited."""

    soft: int = Field(ge=-1, description="Soft limit.")
    hard: int = Field(ge=-1, description="Hard limit.")


class Resources(Model):
    """Limits of the container's cgroup; unset is unlimited."""

    memory: ByteSize | None = Field(None, description="Most memory, bytes; memory plus swap is held to the same.")
    memory_reservation: ByteSize | None = Field(None, description="Memory kept under pressure, bytes.")
    cpus: float | None = Field(None, gt=0, description="Most CPU time, in processors.")
    cpu_shares: int | None = Field(None, ge=2, le=262144, description="Relative CPU weight (1024 is usual).")
    cpuset: str | None = Field(None, pattern=r"^\d+(-\d+)?(,\d+(-\d+)?)*$", description="Processors, such as 0-1,3.")
    pids: int | None = Field(None, ge=1, description="Most processes and threads.")


class Condition(StrEnum):
    """What a dependency must have reached (Compose specification, "depends_on")."""

    STARTED = "service_started"
    HEALTHY = "service_healthy"
    COMPLETED = "service_completed_successfully"


class Dependency(Model):
    """A service that must come first. In a stack it names the service; outside one, a container."""

    service: str = Field(description="Service (or container) depended on.")
    condition: Condition = Field(Condition.STARTED, description="What it must have reached.")
    restart: bool = Field(False, description="Restart this container when the dependency is re-created.")
    required: bool = Field(True, description="False: go on with a warning when it is absent.")


class Container(Resource):
    """A container. Optional fields that are unset mean the image's value or the engine's default."""

    name: ResourceName = Field(description="Name on the host.")
    service: Annotated[str, NO_CHANGE] = Field("", description="Service of a stack that it belongs to; may be empty.")
    image: Annotated[str, RECREATE] = Field(description="Reference of the image to run.")
    command: Annotated[tuple[str, ...] | None, RECREATE] = Field(None, description="Arguments; the image's when unset.")
    entrypoint: Annotated[tuple[str, ...] | None, RECREATE] = Field(
        None, description="Program; the image's when unset. An entrypoint that is set drops the image's command."
    )
    environment: Annotated[dict[EnvName, str], RECREATE, SENSITIVE] = Field(
        default_factory=dict, description="Environment variables, over those of the image."
    )
    working_dir: Annotated[AbsolutePath | None, RECREATE] = Field(None, description="Directory the command starts in.")
    user: Annotated[str | None, RECREATE] = Field(None, description="user[:group], names or numbers.")
    group_add: Annotated[tuple[str, ...], RECREATE] = Field((), description="Further groups, names or numbers.")
    hostname: Annotated[HostName | None, RECREATE] = Field(None, max_length=64, description="Host name inside.")
    labels: Annotated[dict[str, str], IN_PLACE] = Field(default_factory=dict, description="Labels of the container.")
    ports: Annotated[tuple[Port, ...], IN_PLACE] = Field((), description="Ports published on the host.")
    expose: Annotated[tuple[str, ...], NO_CHANGE] = Field((), description="Ports noted for readers; opens nothing.")
    mounts: Annotated[tuple[Mount, ...], RECREATE] = Field((), description="Volumes, binds and tmpfs.")
    secrets: Annotated[tuple[FileGrant, ...], RECREATE] = Field((), description="Secrets given to the container.")
    configs: Annotated[tuple[FileGrant, ...], RECREATE] = Field((), description="Configs given to the container.")
    networks: Annotated[tuple[Endpoint, ...], RECREATE] = Field((), description="Networks it is on, first is default.")
    network_mode: Annotated[str | None, RECREATE] = Field(
        None, pattern=r"^(none|host|container:.+)$", description="none, host or container:NAME instead of networks."
    )
    extra_hosts: Annotated[dict[str, str], RECREATE] = Field(
        default_factory=dict, description="Further lines of /etc/hosts: name to address; host-gateway is the host."
    )
    restart: Annotated[RestartPolicy, IN_PLACE] = Field(
        default_factory=RestartPolicy, description="Start again after an end."
    )
    healthcheck: Annotated[HealthCheck | None, IN_PLACE] = Field(
        None, description="Health check; the image's when unset."
    )
    resources: Annotated[Resources, IN_PLACE] = Field(default_factory=Resources, description="cgroup limits.")
    ulimits: Annotated[dict[str, Ulimit], RECREATE] = Field(default_factory=dict, description="Limits of getrlimit(2).")
    cap_add: Annotated[tuple[Capability, ...], RECREATE] = Field((), description="Capabilities over the default set.")
    cap_drop: Annotated[tuple[Capability, ...], RECREATE] = Field((), description="Capabilities taken away.")
    privileged: Annotated[bool, RECREATE] = Field(False, description="No isolation from the host's kernel; a risk.")
    read_only: Annotated[bool, RECREATE] = Field(False, description="Root file system read-only.")
    security_opt: Annotated[tuple[str, ...], RECREATE] = Field(
        (), description="no-new-privileges:false, seccomp=unconfined."
    )
    sysctls: Annotated[dict[str, str], RECREATE] = Field(
        default_factory=dict, description="Namespaced kernel settings."
    )
    shm_size: Annotated[ByteSize | None, RECREATE] = Field(
        None, description="Size of /dev/shm, bytes; 64 MiB if unset."
    )
    init: Annotated[bool, RECREATE] = Field(False, description="A small init as PID 1 that reaps and forwards signals.")
    tty: Annotated[bool, RECREATE] = Field(False, description="A terminal for standard input and output.")
    stdin_open: Annotated[bool, RECREATE] = Field(False, description="Keep standard input open.")
    stop_signal: Annotated[str | None, IN_PLACE] = Field(None, description="Signal that asks it to end; SIGTERM.")
    stop_grace_period: Annotated[Duration, IN_PLACE] = Field(
        Duration(seconds=10), description="Time between the stop signal and SIGKILL."
    )
    depends_on: Annotated[tuple[Dependency, ...], NO_CHANGE] = Field((), description="What must come first.")

    @property
    def kind(self) -> Kind:
        """Container."""
        return Kind.CONTAINER

    @model_validator(mode="after")
    def _network_mode_alone(self) -> Container:
        if self.network_mode and self.networks:
            raise ValueError("network_mode and networks exclude each other")
        if self.network_mode and self.ports:
            raise ValueError(f"ports cannot be published with network_mode {self.network_mode}")
        return self
