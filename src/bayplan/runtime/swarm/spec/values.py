"""Spellings of single values: durations are nanoseconds, processors are billionths of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from bayplan.models import BindMount, Duration, HealthCheck, TmpfsMount, Ulimit
from bayplan.models.swarm import (
    LogDriver,
    RollbackPolicy,
    ServiceMount,
    ServicePort,
    ServiceVolume,
    TaskRestart,
    UpdatePolicy,
)

_CPU = 10**9


def nanoseconds(value: timedelta) -> int:
    """A duration as the API has it."""
    return value // timedelta(microseconds=1) * 1000


def duration(value: int | None) -> Duration:
    """A duration of the API."""
    return Duration(microseconds=(value or 0) // 1000)


def nano_cpus(value: float) -> int:
    """Processors as the API has them."""
    return round(value * _CPU)


def cpus(value: int) -> float:
    """Processors of the API."""
    return value / _CPU


def health_out(check: HealthCheck) -> dict[str, Any]:
    """``ContainerSpec.Healthcheck``."""
    found: dict[str, Any] = {"Test": list(check.test)} if check.test else {}
    for name, value in (
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ):
        if value is not None:
            found[name] = nanoseconds(value)
    return {**found, "Retries": check.retries} if check.retries else found


def health_back(found: Mapping[str, Any]) -> HealthCheck:
    """``ContainerSpec.Healthcheck`` read; zero is the image's value."""
    names = {"interval": "Interval", "timeout": "Timeout", "start_period": "StartPeriod"}
    names["start_interval"] = "StartInterval"
    values = {field: duration(found[name]) for field, name in names.items() if found.get(name)}
    retries = {"retries": found["Retries"]} if found.get("Retries") else {}
    return HealthCheck(test=tuple(found.get("Test") or ()), **values, **retries)


def policy_out(policy: RollbackPolicy) -> dict[str, Any]:
    """``UpdateConfig`` and ``RollbackConfig``."""
    return {
        "Parallelism": policy.parallelism,
        "Delay": nanoseconds(policy.delay),
        "FailureAction": policy.failure_action,
        "Monitor": nanoseconds(policy.monitor),
        "MaxFailureRatio": policy.max_failure_ratio,
        "Order": policy.order,
    }


def _policy(found: Mapping[str, Any]) -> dict[str, Any]:
    """The API leaves zeros out."""
    return {
        "parallelism": found.get("Parallelism", 0),
        "delay": duration(found.get("Delay")),
        "failure_action": found.get("FailureAction") or "pause",
        "monitor": duration(found.get("Monitor")),
        "max_failure_ratio": found.get("MaxFailureRatio") or 0.0,
        "order": found.get("Order") or "stop-first",
    }


def update_back(found: Mapping[str, Any]) -> UpdatePolicy:
    """``UpdateConfig`` read."""
    return UpdatePolicy(**_policy(found))


def rollback_back(found: Mapping[str, Any]) -> RollbackPolicy:
    """``RollbackConfig`` read."""
    return RollbackPolicy(**_policy(found))


def restart_out(policy: TaskRestart) -> dict[str, Any]:
    """``RestartPolicy``."""
    found: dict[str, Any] = {"Condition": policy.condition, "Delay": nanoseconds(policy.delay)}
    found["MaxAttempts"] = policy.max_attempts
    return {**found, "Window": nanoseconds(policy.window)} if policy.window else found


def restart_back(found: Mapping[str, Any]) -> TaskRestart:
    """``RestartPolicy`` read."""
    usual = TaskRestart()
    return TaskRestart(
        condition=found.get("Condition") or usual.condition,
        delay=usual.delay if found.get("Delay") is None else duration(found["Delay"]),
        max_attempts=found.get("MaxAttempts") or 0,
        window=duration(found.get("Window")),
    )


def port_out(port: ServicePort) -> dict[str, Any]:
    """``EndpointPortConfig``."""
    found = {"Protocol": port.protocol, "TargetPort": port.target, "PublishMode": port.mode}
    return {**found, "PublishedPort": port.published} if port.published else found


def port_back(found: Mapping[str, Any]) -> ServicePort:
    """``EndpointPortConfig`` read."""
    return ServicePort(
        target=found["TargetPort"],
        published=found.get("PublishedPort") or 0,
        protocol=found.get("Protocol") or "tcp",
        mode=found.get("PublishMode") or "ingress",
    )


def mount_out(mount: ServiceMount) -> dict[str, Any]:
    """``Mount``."""
    found: dict[str, Any] = {"Type": mount.type, "Target": mount.target}
    if mount.read_only:
        found["ReadOnly"] = True
    if isinstance(mount, TmpfsMount):
        options = {"SizeBytes": int(mount.size) if mount.size else None, "Mode": mount.mode}
        kept = {name: value for name, value in options.items() if value is not None}
        return {**found, "TmpfsOptions": kept} if kept else found
    if mount.source:
        found["Source"] = mount.source
    if isinstance(mount, BindMount):
        bind = {"BindOptions": {"Propagation": mount.propagation}} if mount.propagation != "rprivate" else {}
        return {**found, **bind}
    volume: dict[str, Any] = {"NoCopy": True} if mount.nocopy else {}
    if mount.labels:
        volume["Labels"] = dict(mount.labels)
    if mount.driver or mount.driver_opts:
        volume["DriverConfig"] = {"Name": mount.driver or "", "Options": dict(mount.driver_opts)}
    return {**found, "VolumeOptions": volume} if volume else found


def mount_back(found: Mapping[str, Any]) -> ServiceMount:
    """``Mount`` read."""
    common = {"target": found["Target"], "read_only": bool(found.get("ReadOnly"))}
    if found["Type"] == "tmpfs":
        options = found.get("TmpfsOptions") or {}
        return TmpfsMount(**common, size=options.get("SizeBytes") or None, mode=options.get("Mode") or None)
    if found["Type"] == "bind":
        propagation = (found.get("BindOptions") or {}).get("Propagation") or "rprivate"
        return BindMount(**common, source=found["Source"], propagation=propagation)
    options = found.get("VolumeOptions") or {}
    driver = options.get("DriverConfig") or {}
    return ServiceVolume(
        **common,
        source=found.get("Source") or "",
        nocopy=bool(options.get("NoCopy")),
        labels=options.get("Labels") or {},
        driver=driver.get("Name") or None,
        driver_opts=driver.get("Options") or {},
    )


def hosts_out(hosts: Mapping[str, str]) -> list[str]:
    """Lines of hosts(5)."""
    return [f"{address} {name}" for name, addresses in hosts.items() for address in addresses.split(",")]


def hosts_back(lines: Iterable[str]) -> dict[str, str]:
    """Lines of hosts(5) read."""
    found: dict[str, list[str]] = {}
    for line in lines:
        address, *names = line.split()
        for name in names:
            found.setdefault(name, []).append(address)
    return {name: ",".join(addresses) for name, addresses in found.items()}


def environment_out(values: Mapping[str, str]) -> list[str]:
    """Sorted, as `docker stack deploy` writes them: another order would start every task anew."""
    return sorted(f"{name}={value}" for name, value in values.items())


def environment_back(lines: Iterable[str]) -> dict[str, str]:
    """``NAME=value`` read."""
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def capabilities_out(names: Iterable[str]) -> list[str]:
    """With the prefix, as engines keep them."""
    return sorted(name if name == "ALL" else f"CAP_{name}" for name in names)


def ulimits_out(limits: Mapping[str, Ulimit]) -> list[dict[str, Any]]:
    """``Ulimits``."""
    return [{"Name": name, "Soft": one.soft, "Hard": one.hard} for name, one in sorted(limits.items())]


def ulimits_back(found: Iterable[Mapping[str, Any]]) -> dict[str, Ulimit]:
    """``Ulimits`` read."""
    return {one["Name"]: Ulimit(soft=one.get("Soft", 0), hard=one.get("Hard", 0)) for one in found}


def log_out(driver: LogDriver) -> dict[str, Any]:
    """``LogDriver``."""
    return {"Name": driver.driver, **({"Options": dict(driver.options)} if driver.options else {})}


def log_back(found: Mapping[str, Any]) -> LogDriver:
    """``LogDriver`` read."""
    return LogDriver(driver=found.get("Name") or "", options=found.get("Options") or {})
