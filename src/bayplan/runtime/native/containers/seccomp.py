"""The default seccomp profile, compiled once to BPF.

crun takes a compiled filter from the annotation ``run.oci.seccomp_bpf_data`` and then needs not compile one at each
start (about 17 ms less). Rule: every system call that libseccomp knows is allowed, except those that reach the host's
kernel, clock, keys, modules or mounts, which a capability can give back; calls nobody knows yet fail with ENOSYS, so
that programs fall back. The set follows the documented "significant syscalls blocked by the default profile" of Docker.
"""

from __future__ import annotations

import base64
import ctypes
import errno
import functools
import hashlib
import os
import platform
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bayplan.errors import UnsupportedError
from bayplan.system.files import atomic_write
from bayplan.values import frozen

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_REVIEWED = 467
"""Calls from this number on came with Linux 6.15 and later. One that libseccomp gets to know fails with ENOSYS all the
same, until somebody has looked at it; numbers are the same on every architecture since 424."""
_AF_ALG, _AF_VSOCK, _FAMILIES = 38, 40, 46
_PROJECT_IOCTLS = (0x401C5820, 0x40086602)
"""FS_IOC_FSSETXATTR and FS_IOC_SETFLAGS of 64-bit machines (powerpc has others, and no sizes of volumes here)."""
_WHOLE = 0xFFFFFFFF
"""These arguments are an int to the kernel, and 64 bits to a filter: the upper ones must not count."""
_CLONE_NEW_FLAGS = 0x7E020000
"""Every CLONE_NEW* flag of clone(2): new namespaces give an unprivileged process much of the kernel to attack."""

_keeping = threading.Lock()

DENIED = frozenset(
    [
        *("add_key", "keyctl", "request_key"),
        *("create_module", "delete_module", "finit_module", "get_kernel_syms", "init_module", "query_module"),
        *("io_uring_enter", "io_uring_register", "io_uring_setup"),
        *("_sysctl", "nfsservctl", "sysfs", "uselib", "userfaultfd", "ustat", "vm86", "vm86old"),
        # Never implemented, and socketcall, by which a filter cannot tell the address family.
        *("afs_syscall", "getpmsg", "putpmsg", "security", "socketcall", "tuxcall", "vserver"),
        *("kexec_file_load", "kexec_load", "swapoff", "swapon"),
    ]
)
BY_CAPABILITY = {
    "SYS_ADMIN": (
        *("bpf", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "lookup_dcookie", "mount"),
        *("lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr"),
        *("mount_setattr", "move_mount", "open_tree", "perf_event_open", "pivot_root", "quotactl", "quotactl_fd"),
        *("setdomainname", "sethostname", "setns", "umount", "umount2", "unshare"),
    ),
    "SYS_BOOT": ("reboot",),
    "SYS_CHROOT": ("chroot",),
    "SYS_MODULE": ("delete_module", "init_module", "finit_module"),
    "SYS_PACCT": ("acct",),
    "SYS_PTRACE": ("kcmp", "pidfd_getfd", "process_madvise"),
    "SYS_RAWIO": ("iopl", "ioperm"),
    "SYS_TIME": ("clock_adjtime", "clock_adjtime64", "clock_settime", "clock_settime64", "settimeofday", "stime"),
    "SYS_TTY_CONFIG": ("vhangup",),
    "SYS_NICE": (
        *("get_mempolicy", "mbind", "migrate_pages", "move_pages", "set_mempolicy", "set_mempolicy_home_node"),
    ),
    "SYSLOG": ("syslog",),
    "DAC_READ_SEARCH": ("open_by_handle_at",),
    "BPF": ("bpf",),
    "PERFMON": ("perf_event_open",),
}


@frozen
class Compared:
    """A call that is allowed by one of its arguments: (mask, value) pairs, and values with the error they get."""

    index: int
    allowed: tuple[tuple[int, int], ...]
    refused: tuple[tuple[int, int], ...] = ()


def _others(values: Sequence[int], bit: int = 31, prefix: int = 0, mask: int = 0) -> Iterator[tuple[int, int]]:
    """Every number of 32 bits but these, as few (mask, value) pairs: a filter cannot say ``not equal`` with a mask."""
    if not values:
        yield mask, prefix
    elif bit >= 0:
        for one in (0, 1):
            left = [value for value in values if value >> bit & 1 == one]
            yield from _others(left, bit - 1, prefix | one << bit, mask | 1 << bit)


def by_argument(held: frozenset[str]) -> dict[str, Compared]:
    """Calls that are allowed by the value of an argument, for a set of capabilities.

    AF_ALG reaches the kernel's ciphers, with faults of many years; AF_VSOCK the hypervisor or other machines;
    personality(2) old execution domains: as moby has them. FS_IOC_FSSETXATTR and FS_IOC_SETFLAGS let the owner of a
    file take it out of the project whose size is limited; the error is that of a file system without them.
    """
    families = [(_WHOLE, family) for family in range(_FAMILIES) if family not in (_AF_ALG, _AF_VSOCK)]
    found = {
        "socket": Compared(0, tuple(families), tuple((one, errno.EAFNOSUPPORT) for one in (_AF_ALG, _AF_VSOCK))),
        "personality": Compared(0, tuple((_WHOLE, value) for value in (0x0, 0x8, 0x20000, 0x20008, _WHOLE))),
    }
    if not held & _DECIDING:
        others = tuple(_others(_PROJECT_IOCTLS))
        found["ioctl"] = Compared(1, others, tuple((one, errno.EOPNOTSUPP) for one in _PROJECT_IOCTLS))
    return found


_DECIDING = frozenset({"SYS_ADMIN", "SYS_RESOURCE"})
"""Capabilities that decide more than whole calls."""
_NO_SUCH_CALL = frozenset({"clone3"})
"""Answered with ENOSYS: its flags are in memory where a filter cannot look, and libc falls back to clone."""


def section(capabilities: Iterable[str]) -> dict[str, Any]:
    """The same filter as ``linux.seccomp`` of the runtime specification, which compiles it itself at each start.

    Raises UnsupportedError when libseccomp is missing.
    """
    held = frozenset(capabilities)
    denied, known, compared = _denied(held), library().names(), by_argument(held)
    plain = "clone" if "SYS_ADMIN" not in held else ""
    allowed = sorted(name for name in known if name not in denied and name != plain and name not in compared)
    refused = sorted(name for name in known if name in denied and name not in _NO_SUCH_CALL)
    calls: list[dict[str, Any]] = [
        {"names": allowed, "action": "SCMP_ACT_ALLOW"},
        {"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EPERM},
    ]
    for name in sorted(compared.keys() & known.keys()):
        one = compared[name]
        calls += [_by_value(name, one.index, mask, value, "SCMP_ACT_ALLOW") for mask, value in one.allowed]
        calls += [
            {**_by_value(name, one.index, _WHOLE, value, "SCMP_ACT_ERRNO"), "errnoRet": number}
            for value, number in one.refused
        ]
    if plain:
        flags = {"index": 0, "value": _CLONE_NEW_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
        calls.append({"names": [plain], "action": "SCMP_ACT_ALLOW", "args": [flags]})
    native = f"SCMP_ARCH_{platform.machine().upper()}"
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.ENOSYS,
        "architectures": [native],
        "syscalls": [call for call in calls if call["names"]],
    }


def _by_value(name: str, index: int, mask: int, value: int, action: str) -> dict[str, Any]:
    compared = {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
    return {"names": [name], "action": action, "args": [compared]}


def filter_for(capabilities: Iterable[str], cache: Path, *, keep: bool = True) -> str:
    """Base64 of the BPF program for a set of capabilities; compiled at first use, and with ``keep`` kept in ``cache``.

    Raises UnsupportedError when libseccomp is missing or refuses: there is no start without the filter.
    """
    held = frozenset(capabilities)
    path, program = _program(_denied(held), held & _DECIDING, cache)
    if keep:
        keep_program(path, program)
    return base64.b64encode(program).decode()


def keep_program(path: Path, program: bytes) -> None:
    """Keep what took long to compile, unless it is there."""
    with _keeping:  # containers that start at the same time have the same
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            atomic_write(path, program)


def _denied(held: frozenset[str]) -> frozenset[str]:
    denied = set(DENIED)
    for capability, calls in BY_CAPABILITY.items():
        if capability not in held:
            denied.update(calls)
    for capability, calls in BY_CAPABILITY.items():
        if capability in held:
            denied.difference_update(calls)
    return frozenset(denied)


@functools.lru_cache(maxsize=64)
def _program(denied: frozenset[str], held: frozenset[str], cache: Path) -> tuple[Path, bytes]:
    found = library()
    key = hashlib.sha256(f"3 {found.version} {sorted(held)} {sorted(denied)}".encode()).hexdigest()
    path = cache / f"{key}.bpf"
    try:
        return path, path.read_bytes()
    except FileNotFoundError:
        return path, found.compile(denied, held)


class Argument(ctypes.Structure):
    """``struct scmp_arg_cmp`` of seccomp.h: argument number, operator, mask and value."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


_MASKED_EQUAL = 7


class _Library:
    """libseccomp by ctypes."""

    def __init__(self) -> None:
        try:
            self.raw = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        except OSError as error:
            raise UnsupportedError(f"libseccomp is missing: {error}", hint="install package libseccomp2") from error
        self.raw.seccomp_init.restype = ctypes.c_void_p
        self.raw.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
        self.raw.seccomp_version.restype = ctypes.POINTER(ctypes.c_uint)
        self._free = ctypes.CDLL(None).free
        version = self.raw.seccomp_version()
        self.version = f"{version[0]}.{version[1]}.{version[2]}"

    def names(self) -> dict[str, int]:
        """Every system call of this machine's architecture by name."""
        native = self.raw.seccomp_arch_native()
        found = {}
        for number in range(_REVIEWED):
            pointer = self.raw.seccomp_syscall_resolve_num_arch(native, number)
            if pointer:
                found[ctypes.string_at(pointer).decode()] = number
                self._free(ctypes.c_void_p(pointer))
        return found

    def compile(self, denied: frozenset[str], held: frozenset[str]) -> bytes:
        """The filter as BPF instructions."""
        compared = by_argument(held)
        context = ctypes.c_void_p(self.raw.seccomp_init(_ERRNO | errno.ENOSYS))
        try:
            for name, number in self.names().items():
                if name == "clone" and "SYS_ADMIN" not in held:
                    self._allow_plain_clone(context, number)
                elif name in compared:
                    self._compare(context, name, number, compared[name])
                elif name not in denied:
                    self._check(self.raw.seccomp_rule_add(context, _ALLOW, number, 0), name)
                elif name not in _NO_SUCH_CALL:
                    self._check(self.raw.seccomp_rule_add(context, _ERRNO | errno.EPERM, number, 0), name)
            return export(self.raw, context)
        finally:
            self.raw.seccomp_release(context)

    def _compare(self, context: ctypes.c_void_p, name: str, number: int, compared: Compared) -> None:
        rules = [(_ALLOW, mask, value) for mask, value in compared.allowed]
        rules += [(_ERRNO | error, _WHOLE, value) for value, error in compared.refused]
        for action, mask, value in rules:
            one = (Argument * 1)(Argument(compared.index, _MASKED_EQUAL, mask, value))
            self._check(self.raw.seccomp_rule_add_array(context, action, number, 1, one), name)

    def _allow_plain_clone(self, context: ctypes.c_void_p, number: int) -> None:
        """clone(2) without any CLONE_NEW* flag; with one it fails with ENOSYS."""
        plain = (Argument * 1)(Argument(0, _MASKED_EQUAL, _CLONE_NEW_FLAGS, 0))
        self._check(self.raw.seccomp_rule_add_array(context, _ALLOW, number, 1, plain), "clone")

    @staticmethod
    def _check(result: int, what: str) -> None:
        if result < 0:
            raise UnsupportedError(f"libseccomp refuses the rule for {what}: {os.strerror(-result)}")


def export(lib: Any, context: ctypes.c_void_p) -> bytes:
    """The filter of a context as BPF instructions. Raises UnsupportedError."""
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        result = lib.seccomp_export_bpf(context, fd)
        if result < 0:
            raise UnsupportedError(f"libseccomp refuses the filter: {os.strerror(-result)}")
        return os.pread(fd, 1 << 20, 0)
    finally:
        os.close(fd)


@functools.cache
def library() -> _Library:
    """The library, loaded once. Raises UnsupportedError when it is missing."""
    return _Library()
