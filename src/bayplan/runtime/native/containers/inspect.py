"""One container as `docker inspect` shows it, so that tools that read that find what they look for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bayplan.models import BindMount, Container, HealthCheck, ImageMount, Logging, Resources, TmpfsMount, VolumeMount
from bayplan.models.container import ANY_ADDRESS
from bayplan.runtime.native.containers.containers import Containers
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.containers.rotation import lost
from bayplan.runtime.native.containers.spec.resources import DEFAULT_PIDS
from bayplan.runtime.protocol import Health, State, Status

_NEVER = "0001-01-01T00:00:00Z"
_DOCKER_STATE = {State.INCOMPLETE: "dead"}


def inspect(
    containers: Containers, container_id: str, endpoints: Sequence[Mapping[str, Any]], volumes: Mapping[str, str]
) -> dict[str, Any]:
    """The record, the declaration and what is now, in Docker's shape (Engine API, ContainerInspect).

    ``endpoints`` are rows of network, address, mac, gateway, prefix; ``volumes`` name to directory.
    """
    row, status = containers.records.get(container_id), containers.status(container_id)
    declared, paths = containers.declared(container_id), Paths.of(containers.settings, container_id)
    whole = row["phase"] == "created"
    process = json.loads(containers.records.bundle(container_id)["config"])["process"] if whole else {}
    arguments = process.get("args") or [""]
    return {
        "Id": container_id,
        "Created": row["created_at"],
        "Path": arguments[0],
        "Args": arguments[1:],
        "State": _state(containers, container_id, status),
        "Image": row["image_digest"],
        "LogPath": "" if declared.logging and declared.logging.driver != "k8s-file" else str(paths.log),
        "LogLostBytes": lost(paths.log),
        "Name": f"/{row['name']}",
        "RestartCount": status.restarts,
        "Driver": "overlay",
        "Platform": "linux",
        "HostConfig": _host_config(declared),
        "Mounts": _mounts(declared, volumes),
        "Config": _config(declared, process, container_id),
        "NetworkSettings": _networks(declared, endpoints),
    }


def _state(containers: Containers, container_id: str, status: Status) -> dict[str, Any]:
    live = status.state in (State.RUNNING, State.PAUSED)
    found: dict[str, Any] = {
        "Status": _DOCKER_STATE.get(status.state, status.state.value),
        "Running": live,
        "Paused": status.state is State.PAUSED,
        "Restarting": status.state is State.RESTARTING,
        "OOMKilled": status.oom_killed,
        "Dead": False,
        "Pid": status.pid or 0,
        "ExitCode": status.exit_code or 0,
        "Error": "",
        "StartedAt": _moment(status.started_at),
        "FinishedAt": _moment(status.finished_at),
    }
    rows = containers.records.database.query("SELECT * FROM health WHERE container_id = ?", (container_id,))
    if rows:
        last = {"End": rows[0]["checked_at"], "Output": rows[0]["last_output"]}
        verdict = rows[0]["status"] if live else Health.NONE.value
        found["Health"] = {"Status": verdict, "FailingStreak": rows[0]["failing_streak"], "Log": [last]}
    return found


def _host_config(declared: Container) -> dict[str, Any]:
    resources, restart = declared.resources, declared.restart
    return {
        "NetworkMode": declared.network_mode or (declared.networks[0].network if declared.networks else "none"),
        "PortBindings": _ports(declared),
        "RestartPolicy": {"Name": restart.condition.value, "MaximumRetryCount": restart.max_retries or 0},
        "CapAdd": list(declared.cap_add),
        "CapDrop": list(declared.cap_drop),
        "Privileged": declared.privileged,
        "ReadonlyRootfs": declared.read_only,
        "SecurityOpt": list(declared.security_opt),
        "Sysctls": dict(declared.sysctls),
        "ShmSize": int(declared.shm_size or 64 << 20),
        **_limits(resources),
        "AutoRemove": False,
        "Binds": [_bind(item) for item in declared.mounts if isinstance(item, (BindMount, VolumeMount))],
        "Tmpfs": {item.target: "" for item in declared.mounts if isinstance(item, TmpfsMount)},
        "CgroupParent": declared.cgroup_parent or "",
        "CgroupnsMode": declared.cgroup or "private",
        "IpcMode": declared.ipc or "private",
        "PidMode": declared.pid or "",
        "UTSMode": declared.uts or "",
        "UsernsMode": declared.userns_mode or "",
        "Devices": [
            {"PathOnHost": one.source, "PathInContainer": one.target, "CgroupPermissions": one.permissions}
            for one in declared.devices
        ],
        "DeviceRequests": [{"Driver": "cdi", "DeviceIDs": list(declared.cdi_devices)}] if declared.cdi_devices else [],
        "DeviceCgroupRules": list(declared.device_cgroup_rules),
        "Dns": [str(one) for one in declared.dns],
        "DnsOptions": list(declared.dns_opt),
        "DnsSearch": list(declared.dns_search),
        "ExtraHosts": [
            f"{name}:{address}" for name, value in declared.extra_hosts.items() for address in value.split(",")
        ],
        "GroupAdd": list(declared.group_add),
        "Init": declared.init,
        "LogConfig": _log(declared),
        "OomScoreAdj": declared.oom_score_adj or 0,
        "Runtime": declared.runtime or "",
        "StorageOpt": {name: str(int(size)) for name, size in declared.storage_opt.items()},
        "Ulimits": [
            {"Name": name, "Soft": one.soft, "Hard": one.hard} for name, one in sorted(declared.ulimits.items())
        ],
    }


def _limits(resources: Resources) -> dict[str, Any]:
    return {
        "Memory": int(resources.memory or 0),
        "MemoryReservation": int(resources.memory_reservation or 0),
        "MemorySwap": int(resources.memory_swap or 0),
        "MemorySwappiness": resources.memory_swappiness,
        "NanoCpus": int((resources.cpus or 0) * 10**9),
        "CpuPeriod": resources.cpu_period or 0,
        "CpuQuota": resources.cpu_quota or 0,
        "CpuShares": resources.cpu_shares or 0,
        "CpusetCpus": resources.cpuset or "",
        "CpusetMems": resources.cpuset_mems or "",
        "OomKillDisable": resources.oom_kill_disable,
        "PidsLimit": DEFAULT_PIDS if resources.pids is None else resources.pids,
    }


def _bind(item: BindMount | VolumeMount) -> str:
    return f"{item.source}:{item.target}:{'ro' if item.read_only else 'rw'}"


def _log(declared: Container) -> dict[str, Any]:
    kept = declared.logging or Logging()
    options = {"max-size": kept.max_size and str(int(kept.max_size)), "max-file": kept.max_file and str(kept.max_file)}
    return {"Type": kept.driver, "Config": {name: value for name, value in options.items() if value}}


def _config(declared: Container, process: Mapping[str, Any], container_id: str) -> dict[str, Any]:
    # What the declaration marks as sensitive is shown by name only: this output ends in tickets and chats.
    hidden = set(declared.environment)
    pairs = [str(entry).partition("=") for entry in process.get("env", ())]
    check = declared.healthcheck
    published = [f"{port.target}/{port.protocol}" for port in declared.ports]
    exposed = [text if "/" in text else f"{text}/tcp" for text in declared.expose]
    return {
        "Hostname": declared.hostname or container_id[:12],
        "Domainname": declared.domainname or "",
        "ExposedPorts": {name: {} for name in (*published, *exposed)},
        "User": declared.user or "",
        "Tty": declared.tty,
        "OpenStdin": declared.stdin_open,
        "Env": [f"{key}={'***' if key in hidden else value}" for key, _, value in pairs],
        "Cmd": None if declared.command is None else list(declared.command),
        "Entrypoint": None if declared.entrypoint is None else list(declared.entrypoint),
        "Image": declared.image,
        "WorkingDir": process.get("cwd", ""),
        "Labels": dict(declared.labels),
        "StopSignal": declared.stop_signal or "SIGTERM",
        "StopTimeout": int(declared.stop_grace_period.total_seconds()),
        **({"Healthcheck": _check(check)} if check else {}),
    }


def _check(check: HealthCheck) -> dict[str, Any]:
    """Times in nanoseconds; what it leaves to the image is not there."""
    names = {
        "interval": "Interval",
        "timeout": "Timeout",
        "start_period": "StartPeriod",
        "start_interval": "StartInterval",
    }
    times = {theirs: getattr(check, ours) for ours, theirs in names.items()}
    found = {name: int(time.total_seconds() * 10**9) for name, time in times.items() if time is not None}
    return {"Test": list(check.test), **found, **({"Retries": check.retries} if check.retries else {})}


def _networks(declared: Container, endpoints: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = {
        str(row["network"]): {
            "IPAddress": row["address"],
            "IPPrefixLen": int(str(row["subnet"]).partition("/")[2] or 0),
            "Gateway": row["gateway"],
            "GlobalIPv6Address": row["address6"],
            "GlobalIPv6PrefixLen": int(str(row["subnet6"]).partition("/")[2] or 0),
            "IPv6Gateway": row["gateway6"],
            "MacAddress": row["mac"],
            "Aliases": json.loads(row["aliases"]),
        }
        for row in endpoints
    }
    first: Mapping[str, Any] = next(iter(found.values()), {"IPAddress": "", "Gateway": "", "MacAddress": ""})
    names = ("IPAddress", "Gateway", "MacAddress")
    return {**{name: first[name] for name in names}, "Ports": _ports(declared), "Networks": found}


def _ports(declared: Container) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for port in declared.ports:
        entry = {"HostIp": str(port.host_ip or ANY_ADDRESS[0]), "HostPort": str(port.published)}
        found.setdefault(f"{port.target}/{port.protocol}", []).append(entry)
    return found


def _mounts(declared: Container, volumes: Mapping[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for item in declared.mounts:
        match item:
            case VolumeMount():
                source = {
                    "Type": "volume",
                    "Name": item.source,
                    "Source": volumes[item.source],
                    "RW": not item.read_only,
                }
            case BindMount():
                source = {"Type": "bind", "Source": item.source, "RW": not item.read_only}
            case ImageMount():
                source = {"Type": "image", "Source": item.source, "RW": False}
            case TmpfsMount():
                source = {"Type": "tmpfs", "Source": "", "RW": True}
        found.append({**source, "Destination": item.target})
    return found


def _moment(when: datetime | None) -> str:
    return when.isoformat().replace("+00:00", "Z") if when else _NEVER
