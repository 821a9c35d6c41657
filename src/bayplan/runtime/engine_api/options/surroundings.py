"""Options of what is around a container: who runs it and where, its memory for sharing, its log, names it knows."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from bayplan.models import ByteSize, Container, Logging
from bayplan.runtime.engine_api.engine import Engine
from bayplan.runtime.engine_api.options.option import Gap, Option, Plain, build
from bayplan.runtime.engine_api.options.shape import Body, Shape
from bayplan.values import frozen

_SHM_BYTES = 64 << 20


@frozen
class ExtraHosts(Option):
    """Lines of /etc/hosts: one entry for each address."""

    def write(self, wanted: Container, body: Body) -> None:
        """NAME:ADDRESS."""
        if wanted.extra_hosts:
            body.host["ExtraHosts"] = [
                f"{name}:{address}" for name, value in wanted.extra_hosts.items() for address in value.split(",")
            ]

    def read(self, shape: Shape) -> Any:
        """Name to addresses, several with commas."""
        found: dict[str, list[str]] = {}
        for entry in shape.host.get("ExtraHosts") or ():
            cut = min(place for place in (entry.find("="), entry.find(":"), len(entry)) if place >= 0)
            found.setdefault(entry[:cut], []).append(entry[cut + 1 :].strip("[]"))
        return {name: ",".join(addresses) for name, addresses in found.items()}


@frozen
class LogDriver(Option):
    """Where output is kept: our file is the engine's file of JSON lines."""

    def write(self, wanted: Container, body: Body) -> None:
        """Sizes in bytes: the engine's own units are decimal."""
        kept = wanted.logging
        if kept is None:
            return
        options = {"max-size": kept.max_size and str(int(kept.max_size)), "max-file": kept.max_file, "tag": kept.tag}
        driver = "json-file" if kept.driver == "k8s-file" else kept.driver
        config = {name: str(value) for name, value in options.items() if value is not None}
        body.host["LogConfig"] = {"Type": driver, "Config": config}

    def read(self, shape: Shape) -> Any:
        """Unset for the engine's default driver without options."""
        found = shape.host.get("LogConfig") or {}
        driver, options = found.get("Type") or "", found.get("Config") or {}
        if driver in ("", shape.engine.log_driver) and not options:
            return None
        size, files = options.get("max-size"), options.get("max-file")
        return build(
            Logging,
            driver="k8s-file" if driver in ("json-file", "local") else driver,
            max_size=ByteSize.parse(size) if size and size != "-1" else None,
            max_file=int(files) if files else None,
            tag=options.get("tag"),
        )


@frozen
class StorageOptions(Plain):
    """Size of the container's own layer: a quota that only some file systems keep."""

    def gaps(self, wanted: Container, engine: Engine) -> Iterator[Gap]:
        """By the file system below."""
        if wanted.storage_opt and engine.storage not in ("xfs", "zfs", "btrfs", ""):
            yield "storage_opt.size", f"its images are on {engine.storage}; sizes need xfs, with pquota"


@frozen
class OciRuntime(Plain):
    """The program that starts it; the engine's own by default."""

    def read(self, shape: Shape) -> Any:
        """Unset for the engine's default."""
        found = shape.host.get(self.key) or None
        return None if found == shape.engine.runtime else found

    def gaps(self, wanted: Container, engine: Engine) -> Iterator[Gap]:
        """One that it does not know."""
        if wanted.runtime and engine.runtimes and wanted.runtime not in engine.runtimes:
            yield "runtime", f"it knows {', '.join(sorted(engine.runtimes))}, not {wanted.runtime}"


OPTIONS: tuple[Option, ...] = (
    Plain("shm_size", key="ShmSize", to=int, back=ByteSize, defaults=(_SHM_BYTES,)),
    Plain("cgroup_parent", key="CgroupParent"),
    OciRuntime("runtime", key="Runtime"),
    StorageOptions(
        "storage_opt",
        key="StorageOpt",
        to=lambda sizes: {name: str(int(size)) for name, size in sizes.items()},
        back=lambda found: {name: ByteSize.parse(size) for name, size in found.items()},
    ),
    LogDriver("logging"),
    ExtraHosts("extra_hosts"),
    Plain("dns", key="Dns", to=lambda found: list(map(str, found)), back=lambda found: tuple(map(ip_address, found))),
    Plain("dns_search", key="DnsSearch", to=list, back=tuple),
    Plain("dns_opt", key="DnsOptions", to=list, back=tuple),
)
