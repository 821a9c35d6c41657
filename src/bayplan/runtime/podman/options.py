"""The table of options as Podman takes and shows them.

Its inspections lose a part of what a container was made with, and show defaults of its own as if they had been asked
for. But nobody can change most of a Podman container: what our record says of it is so. Only what can change is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from typing import Any

from bayplan.models import Container, TmpfsMount
from bayplan.runtime.engine_api.engine import Engine
from bayplan.runtime.engine_api.options import TABLE, Body, Option, Shape
from bayplan.runtime.engine_api.options.endpoints import Networks
from bayplan.runtime.engine_api.options.limits import Limits
from bayplan.runtime.engine_api.options.option import Gap, default_of
from bayplan.runtime.engine_api.options.shape import NOTHING
from bayplan.values import frozen

_IMPLIED = ("TERM", "container", "HOSTNAME", "HOME")
"""Variables that Podman adds to those of the image and the declaration."""
_NOTED = (
    "io.container.manager",
    "io.podman.annotations.",
    "org.opencontainers.image.stopSignal",
    "org.systemd.property.",
)
"""Beginnings of annotations by which Podman 5 talks to its OCI runtime and to systemd."""
_DEFAULT_PIDS = 2048
"""pids_limit of containers.conf(5), when that says nothing."""
_CHANGING = frozenset({"networks", "resources", "restart"})
_LOST: Mapping[str, str] = {
    "domainname": "it has no name of a NIS domain",
    "stdin_once": "its API does not keep it",
    "device_cgroup_rules": "its API of Docker's form does not keep them",
}
"""What its API drops without a word."""


@frozen
class Recorded(Option):
    """An option that nobody can change once the container is made: the record of what was applied is what is."""

    option: Option = field(kw_only=True)

    def write(self, wanted: Container, body: Body) -> None:
        """As everywhere."""
        self.option.write(wanted, body)

    def read(self, shape: Shape) -> Any:
        """Of one that another tool made; as well as Podman shows it."""
        return self.option.read(_plain(shape))

    def gaps(self, wanted: Container, engine: Engine) -> Iterator[Gap]:
        """And what is lost on the way."""
        yield from self.option.gaps(wanted, engine)
        if self.field in _LOST and self.value(wanted) != default_of(self.field):
            yield self.field, _LOST[self.field]
        if self.field == "ports" and any(port.last for port in wanted.ports):
            yield "ports", "it chooses no port out of a range"
        for mount in wanted.mounts if self.field == "mounts" else ():
            if isinstance(mount, TmpfsMount) and (mount.uid is not None or mount.gid is not None):
                yield "mounts", f"{mount.target}: it gives a tmpfs no owner"

    def settle(self, declared: Any, own: Shape, found: Shape) -> Any:
        """As declared for what Podman shows; two declarations are compared as everywhere."""
        return declared if found.id else self.option.settle(declared, own, found)

    def foreign(self, wanted: Container, actual: Container) -> Any:
        """As everywhere."""
        return self.option.foreign(wanted, actual)


@frozen
class WholeCheck(Recorded):
    """A health check with all that the image says of it: since 5.0 Podman takes no rhythm without a test."""

    def write(self, wanted: Container, body: Body) -> None:
        """Without a test on either side there is nothing to check."""
        super().write(wanted, body)
        whole = {**(body.image.get("Healthcheck") or NOTHING), **body.config.pop("Healthcheck", NOTHING)}
        if wanted.healthcheck and whole.get("Test"):
            body.config["Healthcheck"] = whole


@frozen
class PodmanLimits(Limits):
    """Without the defaults that Podman shows as limits."""

    def settle(self, declared: Any, own: Shape, found: Shape) -> Any:
        """Compared with what was asked for: only then is it known what is a default."""
        shown = replace(found, host=_asked_limits(found, own.host), id="") if found.id else found
        return super().settle(declared, own, shown)

    def read(self, shape: Shape) -> Any:
        """Of one that another tool made: nobody knows what it asked for, and what may be a default is taken for one."""
        return super().read(replace(shape, host=_asked_limits(shape, {})) if shape.id else shape)

    def gaps(self, wanted: Container, engine: Engine) -> Iterator[Gap]:
        """It takes no word for swap without an end."""
        yield from super().gaps(wanted, engine)
        if wanted.resources.memory_swap is not None and int(wanted.resources.memory_swap) < 0:
            yield "resources.memory_swap", "its API takes no limit for none at all"


def _asked_limits(found: Shape, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Limits as they are shown, without defaults that nobody asked for, and the quota that CPUs are made of."""
    host = dict(found.host)
    for key, defaults in (("MemorySwappiness", (0, -1)), ("PidsLimit", (_DEFAULT_PIDS,))):
        if key not in asked and host.get(key) in defaults:
            host[key] = None
    if "CpuQuota" in asked:
        host["NanoCpus"] = None
    elif host.get("NanoCpus"):
        host["CpuPeriod"] = host["CpuQuota"] = None
    return host


@frozen
class PodmanNetworks(Networks):
    """Its places. Podman does not say which addresses were asked for: those that it has are compared with them."""

    def settle(self, declared: Any, own: Shape, found: Shape) -> Any:
        """A container that does not run has no addresses, and keeps those it asked for."""
        if not found.id:
            return super().settle(declared, own, found)
        places = {name: _asked(name, place, own) for name, place in found.endpoints.items()}
        return super().settle(declared, own, replace(found, endpoints=places))


def _asked(name: str, place: Mapping[str, Any], own: Shape) -> dict[str, Any]:
    """A place with what was asked for where it has that, or nothing at all."""
    wanted = own.endpoints.get(name) or NOTHING
    addresses = dict(wanted.get("IPAMConfig") or {})
    for key, shown in (("IPv4Address", "IPAddress"), ("IPv6Address", "GlobalIPv6Address")):
        if addresses.get(key) and place.get(shown):
            addresses[key] = place[shown]
    filled = {**place, "IPAMConfig": addresses or None}
    if wanted.get("MacAddress") and not place.get("MacAddress"):
        filled["MacAddress"] = wanted["MacAddress"]
    if wanted.get("DriverOpts") and not place.get("DriverOpts"):
        filled["DriverOpts"] = wanted["DriverOpts"]
    return filled


def _plain(shape: Shape) -> Shape:
    """An inspection without what Podman adds by itself."""
    if not shape.id:
        return shape
    image = set(shape.image.get("Env") or ())
    variables = [
        item for item in shape.config.get("Env") or () if item in image or item.partition("=")[0] not in _IMPLIED
    ]
    host = dict(shape.host)
    for key in ("PidMode", "UTSMode"):
        host[key] = "" if host.get(key) == "private" else host.get(key)
    annotations = host.get("Annotations") or NOTHING
    host["Annotations"] = {name: text for name, text in annotations.items() if not name.startswith(_NOTED)}
    host["Runtime"] = ""
    host["LogConfig"] = None
    limits = host.get("Ulimits") or ()
    host["Ulimits"] = [{**one, "Name": str(one["Name"]).removeprefix("RLIMIT_").lower()} for one in limits]
    return replace(shape, config={**shape.config, "Env": variables}, host=host)


PODMAN_TABLE: Mapping[str, Option] = {
    name: option if name in _CHANGING or option.kept else Recorded(name, option.since, option=option)
    for name, option in TABLE.items()
} | {
    "healthcheck": WholeCheck("healthcheck", option=TABLE["healthcheck"]),
    "networks": PodmanNetworks("networks"),
    "resources": PodmanLimits("resources"),
}
