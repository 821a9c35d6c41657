"""One service's attributes that stand for themselves: no names of other resources, no files."""

from __future__ import annotations

import resource
import shlex
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from bayplan.load.compose import keys
from bayplan.load.compose.isolation import block_io, cdi_devices, devices, security_options
from bayplan.load.compose.nodes import (
    Node,
    as_flag,
    as_integer,
    as_map,
    as_number,
    as_text,
    check_keys,
    not_built,
    pairs,
    text_map,
    text_or_texts,
    texts,
    wrong,
)
from bayplan.load.compose.validate import make
from bayplan.models import ByteSize, Duration, HealthCheck, Logging, Resources, RestartPolicy, Ulimit

_MAX_REPLICAS = 1000  # each is built in memory and takes an address of its network: more is a slip of the pen


def words(node: Node) -> tuple[str, ...]:
    """A command: a string is split as shell words (no shell runs it), a list is taken as it is."""
    if isinstance(node.value, list):
        return texts(node)
    try:
        return tuple(shlex.split(as_text(node)))
    except ValueError as error:
        raise wrong(node, f"cannot be split into words: {error}") from error


def parsed(node: Node, parse: Callable[[object], Any]) -> Any:
    """The scalar read by a type's parser, its ValueError turned into a DeclarationError."""
    try:
        return parse(as_text(node))
    except ValueError as error:
        raise wrong(node, str(error)) from error


def healthcheck(node: Node) -> HealthCheck:
    """``healthcheck``; a string test is CMD-SHELL. Raises DeclarationError."""
    check_keys(node, built=keys.HEALTH_BUILT)
    disable, test = node.get("disable"), node.get("test")
    if disable and as_flag(disable):
        return HealthCheck(test=("NONE",))
    if test is None:
        raise not_built(node, "a health check without a test of its own is not built yet")
    values: dict[str, Any] = {"test": texts(test) if isinstance(test.value, list) else ("CMD-SHELL", as_text(test))}
    for name in ("interval", "timeout", "start_period", "start_interval"):
        found = node.get(name)
        if found:
            values[name] = parsed(found, Duration.parse)
    retries = node.get("retries")
    if retries:
        values["retries"] = as_integer(retries)
    return make(HealthCheck, node, values)


def restart(service: Node) -> RestartPolicy:
    """``restart``, or ``deploy.restart_policy`` which goes before it. Raises DeclarationError."""
    deploy = service.get("deploy")
    policy = deploy.get("restart_policy") if deploy else None
    if policy:
        check_keys(policy, built={"condition", "max_attempts"}, known={"delay", "window"})
        condition, attempts = policy.get("condition"), policy.get("max_attempts")
        name = as_text(condition) if condition else "any"
        known = {"none": "no", "on-failure": "on-failure", "any": "always"}
        if condition and name not in known:
            raise wrong(condition, f"unknown condition {name!r}", hint="none, on-failure or any")
        values = {"condition": known[name], "max_retries": as_integer(attempts) if attempts else None}
        return make(RestartPolicy, policy, values)
    node = service.get("restart")
    if node is None:
        return RestartPolicy()
    if not isinstance(node.value, str):
        raise wrong(node, "must be a string", hint='"no", always, on-failure[:N] or unless-stopped')
    name, colon, count = node.value.partition(":")
    if name not in ("no", "always", "on-failure", "unless-stopped") or (colon and name != "on-failure"):
        raise wrong(node, f"unknown policy {node.value!r}", hint='"no", always, on-failure[:N] or unless-stopped')
    return make(
        RestartPolicy, node, {"condition": name, "max_retries": as_integer(node.with_value(count)) if colon else None}
    )


def resources(service: Node) -> Resources:
    """Cgroup limits from ``mem_limit``, ``cpus`` ... and ``deploy.resources``. Raises DeclarationError."""
    values: dict[str, Any] = {}
    readers: dict[str, tuple[str, Callable[[Node], Any]]] = {
        "mem_limit": ("memory", _size),
        "mem_reservation": ("memory_reservation", _size),
        "cpus": ("cpus", as_number),
        "cpu_shares": ("cpu_shares", as_integer),
        "cpuset": ("cpuset", as_text),
        "pids_limit": ("pids", as_integer),
        "memswap_limit": ("memory_swap", _swap),
        "mem_swappiness": ("memory_swappiness", as_integer),
        "oom_kill_disable": ("oom_kill_disable", as_flag),
        "cpu_period": ("cpu_period", _microseconds),
        "cpu_quota": ("cpu_quota", _microseconds),
        "cpu_rt_period": ("cpu_rt_period", _microseconds),
        "cpu_rt_runtime": ("cpu_rt_runtime", _microseconds),
        "blkio_config": ("blkio", block_io),
    }
    for name, (field, read) in readers.items():
        if found := service.get(name):
            values[field] = read(found)
    deploy = service.get("deploy")
    given = deploy.get("resources") if deploy else None
    if given:
        check_keys(given, built={"limits", "reservations"})
        if limits := given.get("limits"):
            check_keys(limits, built=keys.LIMITS_BUILT)
            for name, field, read in (
                ("memory", "memory", _size),
                ("cpus", "cpus", as_number),
                ("pids", "pids", as_integer),
            ):
                if found := limits.get(name):
                    values[field] = read(found)
        if reservations := given.get("reservations"):
            check_keys(reservations, built={"memory"}, known=keys.RESERVATIONS_KNOWN)
            if found := reservations.get("memory"):
                values["memory_reservation"] = _size(found)
    for name in ("memory", "memory_swap", "memory_reservation", "cpus", "cpu_period", "cpu_quota", "cpu_shares"):
        if values.get(name) == 0:  # Docker's word for unset
            del values[name]
    if values.get("pids") in (-1, 0):
        del values["pids"]
    names = {field: name for name, (field, _) in readers.items()}
    return make(Resources, service, values, names)


def _size(node: Node) -> ByteSize:
    size = parsed(node, ByteSize.parse)
    assert isinstance(size, ByteSize)
    return size


def _swap(node: Node) -> ByteSize:
    """A size, or -1 for no limit."""
    return ByteSize(-1) if as_text(node) == "-1" else _size(node)


def _microseconds(node: Node) -> int:
    """A number of microseconds, or a duration."""
    text = as_text(node)
    if text.lstrip("-").isdigit():
        return as_integer(node)
    period: Duration = parsed(node, Duration.parse)
    return period // timedelta(microseconds=1)


def simple(service: Node, directory: Path) -> dict[str, Any]:
    """Container fields that need nothing but the attribute of (nearly) the same name. Raises DeclarationError.

    ``directory`` is the project's, to which paths are relative.
    """
    readers: dict[str, Callable[[Node], Any]] = {
        "command": words,
        "entrypoint": words,
        "working_dir": as_text,
        "user": as_text,
        "hostname": as_text,
        "group_add": texts,
        "expose": texts,
        "cap_add": texts,
        "cap_drop": texts,
        "privileged": as_flag,
        "read_only": as_flag,
        "security_opt": lambda node: security_options(node, directory),
        "devices": devices,
        "device_cgroup_rules": texts,
        "init": as_flag,
        "tty": as_flag,
        "stdin_open": as_flag,
        "domainname": as_text,
        "oom_score_adj": as_integer,
        "uts": as_text,
        "cgroup": as_text,
        "userns_mode": as_text,
        "annotations": text_map,
        "dns": text_or_texts,
        "dns_search": text_or_texts,
        "dns_opt": texts,
        "logging": logging,
        "sysctls": text_map,
        "shm_size": _size,
        "stop_signal": _signal,
        "stop_grace_period": lambda node: parsed(node, Duration.parse),
        "extra_hosts": _hosts,
        "ulimits": _ulimits,
        "healthcheck": healthcheck,
    }
    values = {name: read(found) for name, read in readers.items() if (found := service.get(name))}
    if found := service.get("devices"):
        values["cdi_devices"] = cdi_devices(found)
    return values


def logging(node: Node) -> Logging:
    """``logging``; Docker's json-file and local are our own form, k8s-file. Raises DeclarationError."""
    check_keys(node, built=keys.LOGGING_BUILT)
    driver, options = node.get("driver"), node.get("options")
    name = as_text(driver) if driver else "json-file"
    if name not in ("json-file", "local", "k8s-file", "journald", "none"):
        raise not_built(driver or node, f"log driver {name!r} is not built yet")
    values: dict[str, Any] = {"driver": name if name in ("none", "journald") else "k8s-file"}
    readers: dict[str, tuple[str, Callable[[Node], Any]]] = {
        "max-size": ("max_size", _size),
        "max-file": ("max_file", as_integer),
        "tag": ("tag", as_text),
    }
    for key, value in as_map(options).items() if options else ():
        if key not in readers:
            raise not_built(value, f"log option {key} is not built yet")
        field, read = readers[key]
        values[field] = read(value)
    return make(Logging, node, values, {"max_size": "options", "max_file": "options"})


def _signal(node: Node) -> str:
    """A signal's name or number, checked here: found out only at stop, a wrong one would leave the container."""
    text = as_text(node)
    name = text.upper()
    known = {one.name for one in signal.Signals}
    numbered = text.isascii() and text.isdigit() and text in {str(int(one)) for one in signal.valid_signals()}
    if not numbered and name not in known and f"SIG{name}" not in known:
        raise wrong(node, f"unknown signal {text!r}; see signal(7)")
    return text


def _ulimits(node: Node) -> dict[str, Ulimit]:
    limits = {}
    for name, item in as_map(node).items():
        if not hasattr(resource, f"RLIMIT_{name.upper()}"):
            raise wrong(item, f"unknown limit {name!r}; see getrlimit(2)")
        if isinstance(item.value, dict):
            check_keys(item, built={"soft", "hard"})
            soft, hard = item.get("soft"), item.get("hard")
            if soft is None or hard is None:
                raise wrong(item, "needs soft and hard")
            limits[name] = make(Ulimit, item, {"soft": as_integer(soft), "hard": as_integer(hard)})
        else:
            limits[name] = make(Ulimit, item, {"soft": as_integer(item), "hard": as_integer(item)})
    return limits


def _hosts(node: Node) -> dict[str, str]:
    entries: list[tuple[str, str, Node]] = []
    if isinstance(node.value, list):
        for item in node.value:
            text = as_text(item)
            name, separator, address = text.partition("=" if "=" in text else ":")
            if not separator or not name or not address:
                raise wrong(item, f"{text!r} is not NAME=ADDRESS")
            entries.append((name, address, item))
    else:
        for name, child in as_map(node).items():
            entries += [(name, address, child) for address in text_or_texts(child)]
    hosts: dict[str, str] = {}
    for name, address, place in entries:
        bare = address.strip("[]")
        if hosts.setdefault(name, bare) != bare:
            raise not_built(place, f"two addresses for {name} are not built yet")
    return hosts


def deploy_replicas(service: Node) -> int:
    """How many containers the service has. Raises DeclarationError."""
    deploy, scale = service.get("deploy"), service.get("scale")
    wanted = _count(scale) if scale else None
    if deploy is None:
        return 1 if wanted is None else wanted
    check_keys(deploy, built=keys.DEPLOY_BUILT, known=keys.DEPLOY_KNOWN)
    replicas = deploy.get("replicas")
    count = _count(replicas) if replicas else wanted
    if scale and wanted != count:
        raise wrong(scale, f"contradicts deploy.replicas, which is {count}", hint="remove one of them")
    if labels := deploy.get("labels"):
        for _ in pairs(labels):  # read for their form: on one host they label nothing (specification, "deploy")
            pass
    return 1 if count is None else count


def _count(node: Node) -> int:
    count = as_integer(node)
    if count < 0:
        raise wrong(node, "cannot be negative")
    if count > _MAX_REPLICAS:
        raise wrong(node, f"{count} is more than the {_MAX_REPLICAS} replicas a service may have")
    return count
