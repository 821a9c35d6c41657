"""Options of containers that this host cannot honour: refused at plan time, never ignored."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from bayplan.errors import BayplanError, ConflictError, NotFoundError, UnsupportedError
from bayplan.models import BlockIo, Container, Resources
from bayplan.runtime.native.containers import apparmor, groups, journal
from bayplan.runtime.native.containers.spec import cdi, isolation, process
from bayplan.system import cgroups
from bayplan.system.signals import signal_number

_IPC_SYSCTL = re.compile(r"kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)|fs\.mqueue\..+")
"""Settings of the IPC namespace (ipc_namespaces(7)); those of the network namespace begin with net."""
_SELINUX = Path("/sys/fs/selinux/enforce")


def check_options(container: Container, cache: Path, runtime: str = "crun") -> None:
    """Raise the first reason against an option of a container on this host. Reads only, but for compiled filters."""
    where = str(container.id)
    try:
        for reason in (*_limits(container.resources), *_sysctls(container), *_security(container)):
            raise UnsupportedError(reason, where=where, hint="remove the option")
        _check_runtime(container, runtime)
        groups.check(container)
        _check_paths(container)
        for grant in (*container.secrets, *container.configs):
            if grant.lacks_content:
                what = f"{grant.source} has no content: its variable is not set, or its file cannot be read"
                raise NotFoundError(what, hint="set the variable, or make the file")
        isolation.devices(container)
        cdi.check(container)
        isolation.seccomp_annotation(container, isolation.capabilities(container), cache, keep=False)
        if container.stop_signal:
            signal_number(container.stop_signal)
        if container.init:
            process.init_program()
        if container.logging and container.logging.driver == "journald":
            journal.check()
    except BayplanError as error:
        error.where = error.where or where
        raise
    if container.init and container.pid:
        raise ConflictError("init needs a PID namespace of its own", where=where, hint="remove init or pid")


def _check_runtime(container: Container, own: str) -> None:
    """One core has one OCI runtime, with one directory of its state."""
    if container.runtime not in (None, own, Path(own).name):
        named = f"runtime {container.runtime}: containers of this core are run by {Path(own).name}"
        hint = "for GPUs use gpus; for another runtime a core of its own, with the setting oci_runtime"
        raise UnsupportedError(named, hint=hint)


def _limits(wanted: Resources) -> Iterator[str]:
    have = cgroups.controllers()
    unified = cgroups.is_unified()
    io = "io" if unified else "blkio"
    needs: dict[str, tuple[str, ...]] = {
        "memory": ("memory", "memory_swap", "memory_reservation", "memory_swappiness"),
        "cpu": ("cpus", "cpu_period", "cpu_quota", "cpu_shares", "cpu_rt_period", "cpu_rt_runtime"),
        "cpuset": ("cpuset", "cpuset_mems"),
        "pids": ("pids",),
        "hugetlb": ("hugetlb",),
        io: ("blkio",),
    }
    for controller, names in needs.items():
        for name in names:
            if getattr(wanted, name) not in (None, {}, -1) and controller not in have:
                yield f"{name} needs the cgroup controller {controller}, which this host does not have"
    if wanted.oom_kill_disable and (unified or "memory" not in have):
        yield "oom_kill_disable needs cgroup v1"
    if unified:
        for name in ("memory_swappiness", "cpu_rt_period", "cpu_rt_runtime"):
            if getattr(wanted, name) is not None:
                yield f"{name} needs cgroup v1"
    elif wanted.cpu_rt_runtime is not None and not cgroups.has_file("cpu", "cpu.rt_runtime_us"):
        yield "cpu_rt_runtime needs a kernel with CONFIG_RT_GROUP_SCHED"
    if wanted.memory_swap is not None and not _limits_swap(unified=unified):
        yield "memory_swap: this kernel does not count swap"
    for size in wanted.hugetlb:
        if not Path(f"/sys/kernel/mm/hugepages/hugepages-{_kib(size)}kB").is_dir():
            yield f"hugetlb {size}: this kernel has no huge pages of that size"
    weighs = wanted.blkio and (wanted.blkio.weight is not None or wanted.blkio.weight_device)
    if weighs and not _weighs(unified=unified):
        yield "blkio weight: no block device of this host has a scheduler with weights (bfq)"
    yield from _processors(wanted)


def _processors(wanted: Resources) -> Iterator[str]:
    for kind, value in (("cpus", wanted.cpuset), ("mems", wanted.cpuset_mems)):
        if value and not _numbers(value) <= _numbers(cgroups.all_of_cpuset(kind)):
            yield f"cpuset {value}: this host has {kind} {cgroups.all_of_cpuset(kind)}"
    processors = os.cpu_count() or 1
    if wanted.cpus is not None and wanted.cpus > processors:
        yield f"cpus {wanted.cpus:g}: this host has {processors}"


def _limits_swap(*, unified: bool) -> bool:
    if unified:
        return Path("/proc/swaps").exists()
    return cgroups.has_file("memory", "memory.memsw.limit_in_bytes")


def _weighs(*, unified: bool) -> bool:
    names = ("io.weight", "io.bfq.weight") if unified else ("blkio.weight",)
    return any(cgroups.has_file("blkio", name) for name in names)


def _kib(size: str) -> int:
    return int(size[:-2]) << {"KB": 0, "MB": 10, "GB": 20}[size[-2:]]


def _numbers(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def _sysctls(container: Container) -> Iterator[str]:
    for name in container.sysctls:
        spelled = name.replace("/", ".")
        if spelled.startswith("net."):
            if container.network_mode == "host":
                yield f"sysctl {name} would be the host's: the network is shared with it"
            elif container.network_mode and container.network_mode != "none":
                yield f"sysctl {name} is that of the container whose network is shared"
        elif _IPC_SYSCTL.fullmatch(spelled):
            if container.ipc == "host" or (container.ipc or "").startswith("container:"):
                yield f"sysctl {name} would be that of ipc {container.ipc}"
        elif spelled == "kernel.domainname":
            yield "sysctl kernel.domainname: use domainname"
        else:
            yield f"sysctl {name} has no namespace: it would change the whole host"


def _security(container: Container) -> Iterator[str]:
    known: dict[str, Callable[[str], str]] = {
        "no-new-privileges": lambda value: "" if value in ("true", "false") else "true or false",
        "systempaths": lambda value: "" if value == "unconfined" else "unconfined",
        "seccomp": lambda value: "" if value in ("unconfined", "builtin") or value[0] == "/" else "an absolute path",
        "mask": _absolute,
        "unmask": lambda value: "" if value == "ALL" else _absolute(value),
        "apparmor": lambda _: "",
        "label": lambda _: "",
    }
    for name in sorted(isolation.capabilities(container) - isolation.available()):
        yield f"capability {name} is not this host's to give"
    for text in container.security_opt:
        name, value = isolation.split_option(text)
        if name not in known:
            yield f"unknown security option {text!r}"
        elif wanted := known[name](value):
            yield f"security option {text!r} must be {wanted}"
        elif name == "apparmor" and value != "unconfined":
            yield from _apparmor(text, value)
        elif name == "label" and value != "disable":
            has = _SELINUX.exists()
            what = "labels of SELinux are not built yet" if has else "this host has no SELinux"
            yield f"security option {text!r}: {what}"


def _apparmor(text: str, profile: str) -> Iterator[str]:
    if not apparmor.is_on():
        yield f"security option {text!r}: this host has no AppArmor"
    elif apparmor.is_loaded(profile) is False and profile != apparmor.NAME:
        yield f"security option {text!r}: the kernel has no profile {profile} (apparmor_parser -r FILE loads one)"


def _absolute(value: str) -> str:
    return "" if all(part.startswith("/") for part in value.split(":")) else "absolute paths"


def _check_paths(container: Container) -> None:
    blkio = container.resources.blkio or BlockIo()
    rates = (*blkio.read_bps, *blkio.write_bps, *blkio.read_iops, *blkio.write_iops)
    for path in (*(item.path for item in blkio.weight_device), *(item.path for item in rates)):
        try:
            block = stat.S_ISBLK(os.stat(path).st_mode)  # noqa: PTH116 - as resources does
        except OSError as error:
            raise NotFoundError(f"block device {path}: {error.strerror}", hint="see ls /dev") from error
        if not block:
            raise ConflictError(f"{path} is no block device", hint="name a whole disk")
