"""One service of the containers that it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.load.compose.writing.mounts import mount, tmpfs
from bayplan.load.compose.writing.resources import Keys, escaped, own_labels
from bayplan.models import Container, Endpoint, Mount, Port, Stack, TmpfsMount, VolumeMount
from bayplan.models.secret import FileGrant, may_be_secret

_AS_THEY_ARE = (
    *("command", "entrypoint", "working_dir", "user", "group_add", "hostname", "domainname", "annotations", "expose"),
    *("dns", "dns_search", "dns_opt", "cap_add", "cap_drop", "privileged", "read_only", "security_opt"),
    *("device_cgroup_rules", "uts", "cgroup", "userns_mode", "sysctls", "shm_size", "init", "tty", "stdin_open"),
    *("oom_score_adj", "stop_signal", "stop_grace_period", "runtime", "cgroup_parent", "storage_opt", "ulimits"),
)
"""Fields that Compose has under their own names and in their own form."""
_LIMITS = {
    "memory": "mem_limit",
    "memory_swap": "memswap_limit",
    "memory_swappiness": "mem_swappiness",
    "memory_reservation": "mem_reservation",
    "oom_kill_disable": "oom_kill_disable",
    "cpus": "cpus",
    "cpu_period": "cpu_period",
    "cpu_quota": "cpu_quota",
    "cpu_shares": "cpu_shares",
    "cpu_rt_period": "cpu_rt_period",
    "cpu_rt_runtime": "cpu_rt_runtime",
    "cpuset": "cpuset",
    "pids": "pids_limit",
}
_NO_WORD = {
    "cpuset_mems": "memory nodes (cpuset_mems)",
    "hugetlb": "limits of huge pages",
}
_RATES = ("read_bps", "write_bps", "read_iops", "write_iops")


@dataclass
class Variables:
    """What the file only names: ``references`` stand for marks in the text, ``values`` are what they stood for."""

    values: dict[str, str] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    def hide(self, service: str, name: str, value: str) -> str:
        """A mark for the value of a variable; the same name may hold other values in other services."""
        known = name if self.values.get(name, value) == value else f"{service}_{name}".upper().replace("-", "_")
        self.values[known] = value
        self.told.append(f"{known} ({name} of service {service})" if known != name else f"{name} (service {service})")
        mark = f"BAYPLAN-{len(self.references)}-VARIABLE"
        self.references[mark] = f"${{{known}:?}}"
        return mark


def service(stack: Stack, name: str, keys: Keys, variables: Variables, left_out: list[str]) -> dict[str, Any]:
    """The service's attributes; ``left_out`` gets sentences on what Compose has no word for."""
    replicas = stack.containers_of(name)
    first = replicas[0]
    given = first.model_dump(mode="json", exclude_defaults=True)
    found: dict[str, Any] = {"image": escaped(first.image)}
    if len(replicas) > 1:
        found["scale"] = len(replicas)
    elif first.name != f"{stack.name}-{name}-1":
        found["container_name"] = first.name
    found |= {key: escaped(given[key]) for key in _AS_THEY_ARE if key in given}
    found |= {key: value for key, write in _WRITTEN.items() if (value := write(first, keys)) not in (None, [], {}, "")}
    found |= {"environment": _environment(first, name, variables)} if first.environment else {}
    for kind in ("secrets", "configs"):
        grants = [_grant(grant) for grant in getattr(first, kind) if grant.file]
        lost = [grant.source for grant in getattr(first, kind) if not grant.file]
        found |= {kind: grants} if grants else {}
        left_out += [f"service {name}: {kind[:-1]} {source}, as no file has it" for source in lost]
    left_out += [f"service {name}: {_NO_WORD[one]}" for one in _NO_WORD if given.get("resources", {}).get(one)]
    if first.publish_all_ports:
        left_out.append(f"service {name}: publish_all_ports; the ports it exposes are not published")
    return found


def _environment(container: Container, service_name: str, variables: Variables) -> dict[str, str]:
    return {
        name: variables.hide(service_name, name, value) if may_be_secret(name, value) else escaped(value)
        for name, value in container.environment.items()
    }


def _grant(grant: FileGrant) -> Any:
    shown = {"source": grant.source, "target": grant.target}
    more = {"uid": str(grant.uid), "gid": str(grant.gid)} if grant.uid or grant.gid else {}
    return escaped({**shown, **more, **({"mode": f"{grant.mode:04o}"} if grant.mode != 0o444 else {})})


def _ports(container: Container, keys: Keys) -> list[Any]:
    return [_port(item) for item in container.ports]


def _port(item: Port) -> dict[str, Any]:
    found: dict[str, Any] = {"target": item.target}
    if item.published:
        found["published"] = f"{item.published}-{item.last}" if item.last else str(item.published)
    if item.host_ip is not None:
        found["host_ip"] = str(item.host_ip)
    return {**found, **({"protocol": item.protocol} if item.protocol != "tcp" else {})}


def _networks(container: Container, keys: Keys) -> Any:
    if container.network_mode:
        return None
    places = {keys.networks[item.network]: _place(item, container) for item in container.networks}
    for position, place in enumerate(reversed(list(places.values()))):
        # The first is the way in and out: its order among several is its priority.
        if len(places) > 1 and position:
            place["priority"] = position
    plain = places == {"default": {}} and f"{keys.project}_default" in keys.networks
    return None if plain else {key: value or None for key, value in places.items()}


def _place(item: Endpoint, container: Container) -> dict[str, Any]:
    own = (container.service, container.name)
    given = item.model_dump(mode="json", exclude_defaults=True, exclude={"network", "aliases", "sysctls"})
    aliases = [alias for alias in item.aliases if alias not in own]
    options = {"com.docker.network.endpoint.sysctls": ",".join(f"{k}={v}" for k, v in item.sysctls.items())}
    more = {"aliases": aliases, "driver_opts": options if item.sysctls else {}}
    return escaped({**given, **{key: value for key, value in more.items() if value}})


def _restart(container: Container, keys: Keys) -> str | None:
    policy = container.restart
    most = f":{policy.max_retries}" if policy.max_retries else ""
    return None if policy.condition.value == "no" else f"{policy.condition.value}{most}"


def _health(container: Container, keys: Keys) -> Any:
    check = container.healthcheck
    if check is None:
        return None
    return {"disable": True} if check.is_off else escaped(check.model_dump(mode="json", exclude_defaults=True))


def _depends(container: Container, keys: Keys) -> Any:
    return {item.service: _conditions(item.model_dump(mode="json")) for item in container.depends_on}


def _deploy(container: Container, keys: Keys) -> Any:
    policy = container.update_config
    if policy is None:
        return None
    back = {"rollback_config": policy.rollback.model_dump(mode="json")} if policy.rollback else {}
    return {"update_config": policy.model_dump(mode="json", exclude={"rollback"}), **back}


def _conditions(given: Mapping[str, Any]) -> dict[str, Any]:
    usual = {"restart": False, "required": True}
    return {key: one for key, one in given.items() if key != "service" and usual.get(key) != one}


def _logging(container: Container, keys: Keys) -> Any:
    if container.logging is None:
        return None
    given = container.logging.model_dump(mode="json", exclude_none=True)
    options = {key.replace("_", "-"): str(value) for key, value in given.items() if key != "driver"}
    return escaped({"driver": given["driver"], **({"options": options} if options else {})})


def _block_io(container: Container, keys: Keys) -> Any:
    if container.resources.blkio is None:
        return None
    given = container.resources.blkio.model_dump(mode="json", exclude_defaults=True)
    return {f"device_{key}" if key in _RATES else key: value for key, value in given.items()}


def _in_volumes(container: Container) -> Iterator[Mount]:
    """Those that stand under ``volumes``; what the image asks for comes with the image."""
    for item in container.mounts:
        if not _short(item) and not (isinstance(item, VolumeMount) and item.of_image):
            yield item


def _short(item: Mount) -> str | None:
    return tmpfs(item) if isinstance(item, TmpfsMount) else None


def _limits(container: Container) -> Iterator[tuple[str, Any]]:
    given = container.resources.model_dump(mode="json", exclude_defaults=True)
    yield from ((_LIMITS[key], value) for key, value in given.items() if key in _LIMITS)


def _limit(name: str) -> Callable[[Container, Keys], Any]:
    return lambda container, _: dict(_limits(container)).get(name)


_WRITTEN: dict[str, Callable[[Container, Keys], Any]] = {
    "labels": lambda container, _: escaped(own_labels(container.labels)),
    "extra_hosts": lambda container, _: [
        f"{name}={address}" for name, found in container.extra_hosts.items() for address in found.split(",")
    ],
    "ports": _ports,
    "volumes": lambda container, keys: [escaped(mount(item, keys)) for item in _in_volumes(container)],
    "tmpfs": lambda container, _: escaped([text for text in map(_short, container.mounts) if text]),
    "volumes_from": lambda container, _: [f"container:{name}" for name in container.volumes_from],
    "networks": _networks,
    "network_mode": lambda container, _: container.network_mode,
    "pid": lambda container, _: container.pid,
    "ipc": lambda container, _: container.ipc,
    "restart": _restart,
    "healthcheck": _health,
    "devices": lambda container, _: [*map(str, container.devices), *container.cdi_devices],
    "blkio_config": _block_io,
    "logging": _logging,
    "post_start": lambda container, _: escaped([one.model_dump(exclude_defaults=True) for one in container.post_start]),
    "pre_stop": lambda container, _: escaped([one.model_dump(exclude_defaults=True) for one in container.pre_stop]),
    "depends_on": _depends,
    "deploy": _deploy,
    **{name: _limit(name) for name in _LIMITS.values()},
}
"""Attributes that have another form than their fields."""
