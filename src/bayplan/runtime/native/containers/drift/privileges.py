"""Whether the first process may do more than was granted. Less is its own affair: it can give up anything."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from bayplan.models import Change, Container, Settings
from bayplan.models.types import CAPABILITY_NUMBERS
from bayplan.runtime.native.containers.spec import isolation
from bayplan.system.files import read_if_there
from bayplan.system.processes import Process

_OF_KERNELS_OWN = ("runsc", "kata", "krun")
"""Runtimes whose first process on the host is a monitor of a kernel of its own."""


def shares_kernel(made: Settings) -> bool:
    """Whether what the host's kernel shows of a container's first process is the container's."""
    return not any(name in str(made.oci_runtime) for name in _OF_KERNELS_OWN)


def defects(container: Container, process: Process, made: Settings) -> dict[str, str]:
    """proc(5), /proc/pid/status: its bounding set, its filter of system calls, no_new_privs."""
    status = read_if_there(f"/proc/{process.pid}/status") if shares_kernel(made) else b""
    return dict.fromkeys(_more(container, status), Change.RESTART.value) if status else {}


def _more(container: Container, status: bytes) -> Iterator[str]:
    granted = _bits(container.privileged, container.cap_add, container.cap_drop)
    if more := int(_field(status, b"CapBnd") or b"0", 16) & ~granted:
        names = ", ".join(name for number, name in enumerate(CAPABILITY_NUMBERS) if more >> number & 1)
        yield f"it may have capabilities that were not granted: {names or hex(more)}"
    if _field(status, b"Seccomp") == b"0" and isolation.is_filtered(container):
        yield "its system calls are not filtered"
    if _field(status, b"NoNewPrivs") == b"0" and isolation.no_new_privileges(container):
        yield "it may gain privileges by what it executes"


def _field(status: bytes, name: bytes) -> bytes:
    _, found, rest = status.partition(b"\n" + name + b":\t")
    return rest.partition(b"\n")[0] if found else b""


@functools.lru_cache(maxsize=256)
def _bits(privileged: bool, added: tuple[str, ...], dropped: tuple[str, ...]) -> int:
    container = Container(name="any", image="any", privileged=privileged, cap_add=added, cap_drop=dropped)
    held = isolation.capabilities(container)
    return sum(1 << number for number, name in enumerate(CAPABILITY_NUMBERS) if name in held)
