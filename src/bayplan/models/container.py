"""Containers: what people know from ``docker run``, typed."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from bayplan.models.base import IN_PLACE, NO_CHANGE, RECREATE, SENSITIVE, Kind, Model, Resource
from bayplan.models.hooks import Hook
from bayplan.models.isolation import CdiName, Device
from bayplan.models.limits import Resources, Ulimit
from bayplan.models.mounts import Mount
from bayplan.models.network import Endpoint
from bayplan.models.rolling import UpdateConfig
from bayplan.models.secret import FileGrant
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

_RUNTIME_ANNOTATIONS = ("run.oci.", "org.systemd.property.")
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - spellings in declarations, not bound
DeviceRule = Annotated[str, StringConstraints(pattern=r"^[acb] (\d+|\*):(\d+|\*) [rwm]{1,3}$")]
"""``TYPE MAJOR:MINOR ACCESS`` (kernel: cgroup-v1/devices)."""


class Port(Model):
    """A container port made reachable on the host."""

    target: int = Field(ge=1, le=65535, description="Port in the container.")
    published: int = Field(0, ge=0, le=65535, description="Port on the host; 0 lets the host choose a free one.")
    last: int | None = Field(
        None, ge=1, le=65535, description="End of a range that begins with published, from which a free one is chosen."
    )
    host_ip: IPv4Address | IPv6Address | None = Field(
        None,
        description="Host address to bind; unset is every address, IPv6 too where a network of the container has it;"
        " 0.0.0.0 and :: are every one of a family. Every address is shown in the plan as an exposure.",
    )
    protocol: Literal["tcp", "udp", "sctp"] = Field("tcp", description="Transport protocol.")

    @property
    def chosen(self) -> bool:
        """Whether the host chooses the port."""
        return self.published == 0 or self.last is not None

    def hosts(self, *, ipv4: bool = True, ipv6: bool) -> tuple[str, ...]:
        """The host addresses it is bound to; ``ipv4``, ``ipv6``: what of them the container has."""
        if self.host_ip is not None:
            return (str(self.host_ip),)
        return tuple(address for address, has in zip(ANY_ADDRESS, (ipv4, ipv6), strict=True) if has)

    def __str__(self) -> str:
        shown = str(self.published or "*") + (f"-{self.last}" if self.last else "")
        address = "*" if self.host_ip is None else f"[{self.host_ip}]" if self.host_ip.version == 6 else self.host_ip
        return f"{address}:{shown}->{self.target}/{self.protocol}"

    @model_validator(mode="after")
    def _range_in_order(self) -> Port:
        if self.last is not None and not 0 < self.published < self.last:
            raise ValueError(f"range {self.published}-{self.last} of host ports: the lower one comes first")
        return self


class HealthCheck(Model):
    """A command run in the container whose exit code 0 means healthy (Compose specification, "healthcheck")."""

    test: tuple[str, ...] = Field(
        (), description="``CMD`` and an argv, ``CMD-SHELL`` and a shell line, or ``NONE``; the image's when empty."
    )
    interval: Duration | None = Field(None, description="Time between checks; the image's or 30s when unset.")
    timeout: Duration | None = Field(
        None, description="Time after which a check counts as failed; the image's or 30s when unset."
    )
    retries: int | None = Field(
        None, ge=1, description="Failures in a row after which it is unhealthy; the image's or 3 when unset."
    )
    start_period: Duration | None = Field(
        None, description="Time after start in which failures do not count; the image's or none when unset."
    )
    start_interval: Duration | None = Field(None, description="Time between checks during the start period.")

    @model_validator(mode="after")
    def _test_form(self) -> HealthCheck:
        if self.test and self.test[0] not in ("NONE", "CMD", "CMD-SHELL"):
            raise ValueError("healthcheck test must start with NONE, CMD or CMD-SHELL")
        if self.test and self.test[0] != "NONE" and len(self.test) < 2:
            raise ValueError("healthcheck test names no command")
        if self.test[:1] == ("CMD-SHELL",) and len(self.test) != 2:
            raise ValueError("healthcheck CMD-SHELL takes exactly one string")
        for name in ("interval", "timeout"):
            given = getattr(self, name)
            if given is not None and given < timedelta(milliseconds=1):
                raise ValueError(f"healthcheck {name} must be at least 1ms")
        return self

    @property
    def is_off(self) -> bool:
        """Whether it says that there is no check, the image's neither."""
        return self.test[:1] == ("NONE",)


class Logging(Model):
    """Where what it writes is kept."""

    driver: Literal["k8s-file", "journald", "none"] = Field(
        "k8s-file", description="A file of the core's, systemd's journal, or nowhere."
    )
    max_size: ByteSize | None = Field(
        None, ge=1024, description="The file is cut when it has reached this size; the core's setting when unset."
    )
    max_file: int | None = Field(
        None, ge=1, le=1000, description="Files that stay then; the core's setting when unset."
    )
    tag: str | None = Field(None, description="What the journal's entries are tagged with (CONTAINER_TAG).")

    @model_validator(mode="after")
    def _of_the_driver(self) -> Logging:
        if self.driver != "k8s-file" and (self.max_size is not None or self.max_file is not None):
            raise ValueError(f"max-size and max-file mean nothing with the log driver {self.driver}")
        if self.driver != "journald" and self.tag is not None:
            raise ValueError("a tag means nothing with another log driver than journald")
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
    domainname: Annotated[HostName | None, RECREATE] = Field(None, max_length=64, description="NIS domain name inside.")
    labels: Annotated[dict[str, str], IN_PLACE] = Field(default_factory=dict, description="Labels of the container.")
    annotations: Annotated[dict[str, str], RECREATE] = Field(
        default_factory=dict, description="Annotations for the OCI runtime; none that begins with run.oci. is taken."
    )
    ports: Annotated[tuple[Port, ...], IN_PLACE] = Field((), description="Ports published on the host.")
    publish_all_ports: Annotated[bool, NO_CHANGE] = Field(
        False, description="Publish every port that it or its image exposes, each on a free port of the host."
    )
    expose: Annotated[tuple[str, ...], NO_CHANGE] = Field((), description="Ports noted for readers; opens nothing.")
    mounts: Annotated[tuple[Mount, ...], RECREATE] = Field((), description="Volumes, binds and tmpfs.")
    volumes_from: Annotated[tuple[str, ...], NO_CHANGE] = Field(
        (), description="Other containers whose volumes, binds and images it mounts as well: NAME, or NAME:ro."
    )
    secrets: Annotated[tuple[FileGrant, ...], RECREATE] = Field((), description="Secrets given to the container.")
    configs: Annotated[tuple[FileGrant, ...], RECREATE] = Field((), description="Configs given to the container.")
    networks: Annotated[tuple[Endpoint, ...], IN_PLACE] = Field((), description="Networks it is on, first is default.")
    network_mode: Annotated[str | None, RECREATE] = Field(
        None, pattern=r"^(none|host|container:.+)$", description="none, host or container:NAME instead of networks."
    )
    extra_hosts: Annotated[dict[str, str], RECREATE] = Field(
        default_factory=dict,
        description="Further lines of /etc/hosts: name to address, or several with commas; host-gateway is the host.",
    )
    dns: Annotated[tuple[IPv4Address | IPv6Address, ...], RECREATE] = Field(
        (), description="Name servers to ask instead of the host's; a network's own one asks them for strangers' names."
    )
    dns_search: Annotated[tuple[str, ...], RECREATE] = Field((), description="Search list; a dot alone is none.")
    dns_opt: Annotated[tuple[str, ...], RECREATE] = Field((), description="Options of resolv.conf(5).")
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
        (),
        description="no-new-privileges[:false], seccomp=unconfined or a profile's path, systempaths=unconfined,"
        " mask=PATH:PATH, unmask=ALL or PATH:PATH, apparmor= and label= where the host has them.",
    )
    devices: Annotated[tuple[Device, ...], RECREATE] = Field((), description="Devices of the host given to it.")
    cdi_devices: Annotated[tuple[CdiName, ...], RECREATE] = Field(
        (), description="Devices by the names that their drivers give them (CDI), such as C(vendor.com/class=name)."
    )
    device_cgroup_rules: Annotated[tuple[DeviceRule, ...], RECREATE] = Field(
        (), description="Devices it may use by number, such as C(c 1:3 rwm)."
    )
    pid: Annotated[str | None, RECREATE] = Field(
        None, pattern=r"^(host|container:.+)$", description="host or container:NAME, whose processes it then sees."
    )
    ipc: Annotated[str | None, RECREATE] = Field(
        None,
        pattern=r"^(none|private|shareable|host|container:.+)$",
        description="private, shareable (another may join), host, container:NAME, or none: private without /dev/shm.",
    )
    uts: Annotated[Literal["host"] | None, RECREATE] = Field(None, description="host shares the host's name.")
    cgroup: Annotated[Literal["private", "host"] | None, RECREATE] = Field(
        None, description="private (the default) or host: whether it sees the host's cgroup tree from its root."
    )
    userns_mode: Annotated[Literal["host", "auto"] | None, RECREATE] = Field(
        None,
        description="host: its user numbers are the host's, as when it is unset; auto: a range that only it has.",
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
    stdin_once: Annotated[bool, RECREATE] = Field(
        False, description="With stdin_open: the end of the first client's input is the end of the container's."
    )
    logging: Annotated[Logging | None, RECREATE] = Field(None, description="Where what it writes is kept.")
    oom_score_adj: Annotated[int | None, RECREATE] = Field(
        None, ge=-1000, le=1000, description="How readily the kernel kills it when memory is short (proc(5))."
    )
    stop_signal: Annotated[SignalName | None, IN_PLACE] = Field(
        None, description="Signal that asks it to end; SIGTERM."
    )
    stop_grace_period: Annotated[Duration, IN_PLACE] = Field(
        Duration(seconds=10), description="Time between the stop signal and SIGKILL."
    )
    post_start: Annotated[tuple[Hook, ...], IN_PLACE] = Field(
        (), description="Commands run in it after each start, one after the other; one that fails ends it."
    )
    pre_stop: Annotated[tuple[Hook, ...], IN_PLACE] = Field(
        (), description="Commands run in it before it is asked to end; one that fails is told, and it is stopped."
    )
    runtime: Annotated[str | None, RECREATE] = Field(
        None, description="The OCI runtime; the native core has its own alone, which its settings name."
    )
    cgroup_parent: Annotated[str | None, RECREATE] = Field(
        None,
        pattern=r"^/?[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$",
        description="cgroup below which it lives: a name below the core's own, or the path of one that is there.",
    )
    storage_opt: Annotated[dict[Literal["size"], ByteSize], RECREATE] = Field(
        default_factory=dict, description="size: most that its own layer may hold, by a project quota."
    )
    depends_on: Annotated[tuple[Dependency, ...], NO_CHANGE] = Field((), description="What must come first.")
    update_config: Annotated[UpdateConfig | None, NO_CHANGE] = Field(
        None, description="How it is replaced; when unset it is stopped before its successor starts, replicas at once."
    )

    @property
    def kind(self) -> Kind:
        """Container."""
        return Kind.CONTAINER

    def sealed(self, key: bytes) -> Container:
        """With the fingerprints of its secrets and configs; see ``FileGrant.sealed``."""
        if not self.secrets and not self.configs:
            return self
        fields = {name: tuple(one.sealed(key) for one in getattr(self, name)) for name in ("secrets", "configs")}
        return self.model_copy(update=fields)

    @model_validator(mode="after")
    def _network_mode_alone(self) -> Container:
        if self.network_mode and self.networks:
            raise ValueError("network_mode and networks exclude each other")
        if self.network_mode and self.publish_all_ports:
            raise ValueError(f"publish_all_ports means nothing with network_mode {self.network_mode}")
        if self.network_mode and self.ports:
            raise ValueError(f"ports cannot be published with network_mode {self.network_mode}")
        return self

    @model_validator(mode="after")
    def _links_differ(self) -> Container:
        names = [one.interface_name for one in self.networks if one.interface_name]
        if len(set(names)) < len(names):
            raise ValueError(f"two networks have interface_name {next(one for one in names if names.count(one) > 1)}")
        return self

    @model_validator(mode="after")
    def _namespaces_fit(self) -> Container:
        if self.uts == "host" and (self.hostname or self.domainname):
            raise ValueError("hostname and domainname need a UTS namespace of its own, not uts: host")
        if (self.network_mode or "").startswith("container:") and self.hostname:
            raise ValueError("hostname is that of the container whose network is shared")
        if self.ipc and self.ipc not in ("private", "shareable") and self.shm_size is not None:
            raise ValueError(f"shm_size means nothing with ipc {self.ipc}")
        for name in self.annotations:
            if name.startswith(_RUNTIME_ANNOTATIONS):
                raise ValueError(f"annotation {name} would change the runtime itself")
        return self
