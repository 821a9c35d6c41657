"""The OCI runtime configuration (runtime-spec, config.md) of a container, with secure defaults.

Nothing of an image reaches the runtime's own annotations; capabilities are fewer than Docker's 14 (NET_RAW, MKNOD and
AUDIT_WRITE are left out), none is inheritable; no_new_privs is on; the cgroup tree is read-only.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayplan.models import BindMount, Container, Resources, Settings, TmpfsMount, VolumeMount
from bayplan.models.types import CAPABILITIES
from bayplan.runtime.native.containers import seccomp
from bayplan.runtime.native.containers.users import User

DEFAULT_CAPABILITIES = frozenset(
    (
        *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    )
)
_MASKED = (
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *("/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats"),
    *("/sys/devices/virtual/powercap", "/sys/firmware"),
)
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_DEFAULT_SHM_BYTES = 64 << 20
_DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CPU_PERIOD_US = 100_000


@dataclass(frozen=True)
class Bundle:
    """What a container is made of besides its declaration."""

    container_id: str
    directory: Path
    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    working_dir: str
    user: User
    netns: Path | None
    """Network namespace to join; None is a new, empty one, or the host's with network_mode host."""
    volumes: Mapping[str, Path]
    """Volume name to the directory that holds its data."""


def capabilities(container: Container) -> frozenset[str]:
    """The capabilities a container holds."""
    if container.privileged:
        return CAPABILITIES
    held = set(CAPABILITIES if "ALL" in container.cap_add else DEFAULT_CAPABILITIES)
    held.update(set(container.cap_add) - {"ALL"})
    if "ALL" in container.cap_drop:
        held = set(container.cap_add) - {"ALL"}
    return frozenset(held - set(container.cap_drop))


def build_spec(container: Container, bundle: Bundle, settings: Settings) -> dict[str, Any]:
    """config.json as JSON values."""
    held = capabilities(container)
    unconfined = container.privileged or "seccomp=unconfined" in container.security_opt
    annotations = {} if unconfined else {seccomp.ANNOTATION: seccomp.filter_for(held, settings.state_root / "seccomp")}
    return {
        "ociVersion": "1.0.2",
        "hostname": container.hostname or bundle.container_id[:12],
        "root": {"path": "rootfs", "readonly": container.read_only},
        "process": _process(container, bundle, held),
        "mounts": _mounts(container, bundle),
        "annotations": annotations,
        "linux": {
            "cgroupsPath": f"{settings.cgroup_parent}/{bundle.container_id}",
            "namespaces": _namespaces(container, bundle),
            "resources": _resources(container),
            "sysctl": dict(container.sysctls),
            "maskedPaths": [] if container.privileged else list(_MASKED),
            "readonlyPaths": [] if container.privileged else list(_READ_ONLY),
        },
    }


def process_environment(container: Container, image: Sequence[str], user: User) -> tuple[str, ...]:
    """The image's variables, the declared ones over them, and PATH and HOME when neither gives them."""
    merged = dict(entry.partition("=")[::2] for entry in (_DEFAULT_PATH, f"HOME={user.home}", *image))
    merged.update(container.environment)
    return tuple(f"{key}={value}" for key, value in merged.items())


def limits(wanted: Resources) -> dict[str, Any]:
    """``linux.resources`` of the declared limits. A memory limit holds memory plus swap to the same."""
    memory: dict[str, int] = {}
    if wanted.memory is not None:
        memory = {"limit": int(wanted.memory), "swap": int(wanted.memory)}
    if wanted.memory_reservation is not None:
        memory["reservation"] = int(wanted.memory_reservation)
    cpu: dict[str, Any] = {}
    if wanted.cpus is not None:
        cpu = {"quota": int(wanted.cpus * _CPU_PERIOD_US), "period": _CPU_PERIOD_US}
    if wanted.cpu_shares is not None:
        cpu["shares"] = wanted.cpu_shares
    if wanted.cpuset is not None:
        cpu["cpus"] = wanted.cpuset
    pids = {"limit": wanted.pids} if wanted.pids is not None else {}
    return {key: value for key, value in (("memory", memory), ("cpu", cpu), ("pids", pids)) if value}


def _resources(container: Container) -> dict[str, Any]:
    devices = [{"allow": container.privileged, "access": "rwm"}]
    return {**limits(container.resources), "devices": devices}


def _process(container: Container, bundle: Bundle, held: frozenset[str]) -> dict[str, Any]:
    names = sorted(f"CAP_{name}" for name in held)
    # A process that is not root holds nothing until it execs a file that gives it something (capabilities(7)).
    effective = names if bundle.user.uid == 0 else []
    return {
        "terminal": False,
        "user": {
            "uid": bundle.user.uid,
            "gid": bundle.user.gid,
            "additionalGids": list(bundle.user.groups),
        },
        "args": list(bundle.arguments),
        "env": list(bundle.environment),
        "cwd": bundle.working_dir,
        "capabilities": {
            "bounding": names,
            "effective": effective,
            "permitted": effective,
            "inheritable": [],
            "ambient": [],
        },
        "rlimits": _rlimits(container),
        "noNewPrivileges": not container.privileged and "no-new-privileges:false" not in container.security_opt,
    }


def _rlimits(container: Container) -> list[dict[str, Any]]:
    """Declared limits, held to our own hard limit: without CAP_SYS_RESOURCE none can be raised (setrlimit(2))."""
    found = []
    for name, wanted in sorted(container.ulimits.items()):
        number = getattr(resource, f"RLIMIT_{name.upper()}", None)
        ceiling = resource.getrlimit(number)[1] if number is not None else resource.RLIM_INFINITY
        soft, hard = (_capped(value, ceiling) for value in (wanted.soft, wanted.hard))
        found.append({"type": f"RLIMIT_{name.upper()}", "soft": min(soft, hard), "hard": hard})
    return found


def _capped(value: int, ceiling: int) -> int:
    unlimited = 2**64 - 1
    top = unlimited if ceiling == resource.RLIM_INFINITY else ceiling
    return top if value < 0 else min(value, top)


def _namespaces(container: Container, bundle: Bundle) -> list[dict[str, str]]:
    kinds: list[dict[str, str]] = [{"type": name} for name in ("pid", "ipc", "uts", "mount", "cgroup")]
    if bundle.netns is not None:
        kinds.append({"type": "network", "path": str(bundle.netns)})
    elif container.network_mode != "host":
        # Without a path the runtime makes an empty one; sharing the host's is only ever asked for by name.
        kinds.append({"type": "network"})
    return kinds


def _mounts(container: Container, bundle: Bundle) -> list[dict[str, Any]]:
    safe = ["nosuid", "noexec", "nodev"]
    shm = int(container.shm_size or _DEFAULT_SHM_BYTES)
    cgroup_mode = "rw" if container.privileged else "ro"
    found: list[dict[str, Any]] = [
        _mount("/proc", "proc", "proc", safe),
        _mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        _mount("/dev/shm", "tmpfs", "shm", [*safe, "mode=1777", f"size={shm}"]),  # noqa: S108 - in the container
        _mount("/dev/mqueue", "mqueue", "mqueue", safe),
        _mount("/sys", "sysfs", "sysfs", [*safe, cgroup_mode]),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", [*safe, "relatime", cgroup_mode]),
    ]
    found += [_bind(bundle.directory / name, f"/etc/{name}") for name in ("hostname", "hosts", "resolv.conf")]
    for item in container.mounts:
        match item:
            case VolumeMount():
                flags = ["rbind", "rprivate", "nosuid", "ro" if item.read_only else "rw"]
                found.append(_mount(item.target, "bind", str(bundle.volumes[item.source]), flags))
            case BindMount():
                flags = ["rbind", item.propagation, "ro" if item.read_only else "rw"]
                found.append(_mount(item.target, "bind", item.source, flags))
            case TmpfsMount():
                size = [] if item.size is None else [f"size={int(item.size)}"]
                mode = f"mode={item.mode if item.mode is not None else 0o1777:o}"
                found.append(_mount(item.target, "tmpfs", "tmpfs", ["nosuid", "nodev", mode, *size]))
    return found


def _mount(target: str, kind: str, source: str, options: list[str]) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": options}


def _bind(source: Path, target: str) -> dict[str, Any]:
    return _mount(target, "bind", str(source), ["bind", "rprivate", "nosuid", "nodev", "noexec"])
