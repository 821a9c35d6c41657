"""The container's file tree: what every container has, and its own mounts."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bayplan.errors import NotFoundError
from bayplan.models import BindMount, Container, ImageMount, TmpfsMount, VolumeMount
from bayplan.runtime.native.containers.spec import process
from bayplan.system import beneath
from bayplan.system import mounts as host_mounts

DEFAULT_SHM_BYTES = 64 << 20
DEFAULT_TMPFS_MODE = 0o1777
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
    found += [bind(directory / name, f"/etc/{name}") for name in ("hostname", "hosts", "resolv.conf")]
    if container.init:
        program = str(process.init_program())
        found.append(mount(process.INIT, "bind", program, ["bind", "rprivate", "ro", "nosuid", "nodev"]))
    for item in container.mounts:
        match item:
            case VolumeMount():
                flags = ["rbind", "rprivate", "nosuid", "ro" if item.read_only else "rw"]
                source = directory / part(item.target) if item.subpath else volumes[item.source]
                found.append(mount(item.target, "bind", str(source), flags))
            case BindMount():
                # rro holds for every mount below (mount_setattr(2)); without it only for the topmost.
                read_only = "rro" if item.recursive == "readonly" else "ro"
                flags = ["rbind", item.propagation, read_only if item.read_only else "rw"]
                source = directory / part(item.target) if item.recursive == "disabled" else Path(item.source)
                found.append(mount(item.target, "bind", str(source), flags))
            case ImageMount():
                flags = ["rbind", "rprivate", "nosuid", "nodev", "ro"]
                found.append(mount(item.target, "bind", str(directory / part(item.target)), flags))
            case TmpfsMount():
                found.append(mount(item.target, "tmpfs", "tmpfs", _tmpfs(item)))
    return found


def _tmpfs(item: TmpfsMount) -> list[str]:
    given = {"size": item.size and int(item.size), "uid": item.uid, "gid": item.gid}
    options = [f"{name}={value}" for name, value in given.items() if value is not None]
    mode = f"mode={item.mode if item.mode is not None else DEFAULT_TMPFS_MODE:o}"
    return [
        "nosuid",
        "nodev",
        *(["noexec"] if item.noexec else []),
        mode,
        *options,
        *(["ro"] if item.read_only else []),
    ]


def root_propagation(container: Container) -> dict[str, str]:
    """``linux.rootfsPropagation``, only where a bind lets mounts pass in or out (mount_namespaces(7))."""
    asked = {item.propagation for item in container.mounts if isinstance(item, BindMount)}
    if asked & {"shared", "rshared"}:
        return {"rootfsPropagation": "shared"}
    return {"rootfsPropagation": "slave"} if asked & {"slave", "rslave"} else {}


def parts(container: Container, volumes: Mapping[str, Path]) -> list[tuple[str, str, str]]:
    """What is mounted below the bundle first: a directory, the path in it (empty: itself) and a name there.

    These are parts of volumes, and binds without what is mounted below them, which crun would bring along.
    """
    found = []
    for item in container.mounts:
        if isinstance(item, VolumeMount) and item.subpath:
            found.append((str(volumes[item.source]), item.subpath, part(item.target)))
        elif isinstance(item, BindMount) and item.recursive == "disabled":
            found.append((item.source, "", part(item.target)))
    return found


def show_parts(found: Sequence[Sequence[str]], bundle: Path) -> None:
    """Mount them, in the mount namespace of the caller.

    Opened beneath the volume at each start: a link that something in a container has put there leads nowhere else.
    Raises NotFoundError.
    """
    for top, subpath, name in found:
        above = fd = os.open(top, os.O_PATH | os.O_CLOEXEC)
        try:
            if subpath:
                fd = beneath.open_in_root(above, subpath, os.O_PATH)
            target = bundle / name
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                target.mkdir(exist_ok=True, mode=0o700)
            else:
                target.touch()
            host_mounts.bind(f"/proc/self/fd/{fd}", str(target))
        except OSError as error:
            what = f"subpath {subpath} of a mount: {error.strerror}"
            raise NotFoundError(what, where=top, hint="make it first") from error
        finally:
            for one in {above, fd}:
                os.close(one)


def part(target: str) -> str:
    """The name below the bundle of what is shown at a target."""
    return f"part-{hashlib.sha256(target.encode()).hexdigest()[:12]}"


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
    size = int(container.shm_size or DEFAULT_SHM_BYTES)
    return [mount("/dev/shm", "tmpfs", "shm", [*_SAFE, "mode=1777", f"size={size}"]), queues]  # noqa: S108 - in the container


def mount(target: str, kind: str, source: str, options: list[str]) -> dict[str, Any]:
    """One entry."""
    return {"destination": target, "type": kind, "source": source, "options": options}


def bind(source: Path, target: str, *options: str) -> dict[str, Any]:
    """One file of the host's."""
    return mount(target, "bind", str(source), ["bind", "rprivate", *_SAFE, *options])
