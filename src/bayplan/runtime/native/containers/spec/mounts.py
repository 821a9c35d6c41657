"""The container's file tree: what every container has, and its own mounts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayplan.models import BindMount, Container, TmpfsMount, VolumeMount
from bayplan.runtime.native.containers.spec import process

_DEFAULT_SHM_BYTES = 64 << 20
_SAFE = ("nosuid", "noexec", "nodev")


def section(container: Container, directory: Path, volumes: Mapping[str, Path]) -> list[dict[str, Any]]:
    """``mounts`` (config.md, "Mounts"); ``directory`` is the bundle, ``volumes`` names to directories."""
    cgroup_mode = "rw" if container.privileged else "ro"
    found: list[dict[str, Any]] = [
        mount("/proc", "proc", "proc", [*_SAFE]),
        mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        *_ipc(container, directory),
        mount("/sys", "sysfs", "sysfs", [*_SAFE, cgroup_mode]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", [*_SAFE, "relatime", cgroup_mode]),
    ]
    found += [_bind(directory / name, f"/etc/{name}") for name in ("hostname", "hosts", "resolv.conf")]
    if container.init:
        program = str(process.init_program())
        found.append(mount(process.INIT, "bind", program, ["bind", "rprivate", "ro", "nosuid", "nodev"]))
    for item in container.mounts:
        match item:
            case VolumeMount():
                flags = ["rbind", "rprivate", "nosuid", "ro" if item.read_only else "rw"]
                found.append(mount(item.target, "bind", str(volumes[item.source]), flags))
            case BindMount():
                flags = ["rbind", item.propagation, "ro" if item.read_only else "rw"]
                found.append(mount(item.target, "bind", item.source, flags))
            case TmpfsMount():
                size = [] if item.size is None else [f"size={int(item.size)}"]
                mode = f"mode={item.mode if item.mode is not None else 0o1777:o}"
                found.append(mount(item.target, "tmpfs", "tmpfs", ["nosuid", "nodev", mode, *size]))
    return found


def root_propagation(container: Container) -> str:
    """``linux.rootfsPropagation``: mounts pass in or out only where a bind asks for it (mount_namespaces(7))."""
    asked = {item.propagation for item in container.mounts if isinstance(item, BindMount)}
    if asked & {"shared", "rshared"}:
        return "rshared"
    return "rslave" if asked & {"slave", "rslave"} else "rprivate"


def _ipc(container: Container, directory: Path) -> list[dict[str, Any]]:
    """Shared memory and message queues of its IPC namespace."""
    if container.ipc == "host":
        flags = ["rbind", *_SAFE]
        return [mount(path, "bind", path, flags) for path in ("/dev/shm", "/dev/mqueue") if Path(path).is_dir()]  # noqa: S108 - the host's
    queues = mount("/dev/mqueue", "mqueue", "mqueue", [*_SAFE])
    if container.ipc == "none":
        return [queues]
    if (container.ipc or "").startswith("container:"):
        return [mount("/dev/shm", "bind", str(directory / "shm"), ["rbind", *_SAFE]), queues]  # noqa: S108 - in the container
    size = int(container.shm_size or _DEFAULT_SHM_BYTES)
    return [mount("/dev/shm", "tmpfs", "shm", [*_SAFE, "mode=1777", f"size={size}"]), queues]  # noqa: S108 - in the container


def mount(target: str, kind: str, source: str, options: list[str]) -> dict[str, Any]:
    """One entry."""
    return {"destination": target, "type": kind, "source": source, "options": options}


def _bind(source: Path, target: str) -> dict[str, Any]:
    return mount(target, "bind", str(source), ["bind", "rprivate", *_SAFE])
