"""What is mounted in the container, and its devices: as its mount namespace has them."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

from bayplan.models import Change, Container, Settings, VolumeMount
from bayplan.runtime.native.containers.drift.privileges import shares_kernel
from bayplan.runtime.native.containers.spec import isolation
from bayplan.system import beneath
from bayplan.system.files import read_if_there
from bayplan.system.processes import Process

_ALWAYS = frozenset({"/", "/proc", "/dev"})
_DELETED = "//deleted"
"""End of the root of a mount in mountinfo whose directory or file no longer has a name (kernel: seq_dentry)."""


def defects(container: Container, process: Process, made: Settings) -> dict[str, str]:
    """Declared mounts and devices that are gone, and paths of the host's kernel that are no longer hidden."""
    table = read_if_there(f"/proc/{process.pid}/mountinfo").decode(errors="surrogateescape")
    # With this capability it may have unmounted what it does not want.
    if not table or not shares_kernel(made) or "SYS_ADMIN" in isolation.capabilities(container):
        return {}
    rows = [line.split(" ", 5) for line in table.splitlines()]
    points = {_plain(row[4]) if "\\" in row[4] else row[4]: row[0] for row in rows}
    found = [f"nothing is mounted at {path}" for path in _missing(container, process, points)]
    lost = {row[0] for row in rows if row[3].endswith(_DELETED)}
    found += [
        f"what is mounted at {path} was removed on the host" for path in _kept(container) if points.get(path) in lost
    ]
    if all(isolation.option(container, name) is None for name in ("unmask", "mask", "systempaths")):
        found += [f"{path} is not hidden" for path in _guarded() - points.keys()]
    found += [f"its device {item.target} is gone" for item in container.devices if _is_gone(item, process)]
    return dict.fromkeys(found, Change.RESTART.value)


def keeps_network(container: Container) -> bool:
    """Whether only somebody outside can have changed its addresses and routes."""
    return "NET_ADMIN" not in isolation.capabilities(container)


def _kept(container: Container) -> Iterator[str]:
    """Where it has what the core keeps: volumes, secrets, configs. Files of users are replaced as they are edited."""
    yield from (mount.target.rstrip("/") for mount in container.mounts if isinstance(mount, VolumeMount))
    yield from (grant.target for grant in (*container.secrets, *container.configs))


def _missing(container: Container, process: Process, points: dict[str, str]) -> Iterator[str]:
    declared = {mount.target.rstrip("/") or "/" for mount in container.mounts}
    for path in sorted({*_ALWAYS, *declared, *_kept(container)}):
        # A link on the way has it mounted under another name: asked only then, as it takes longer.
        if path not in points and not _is_mounted(path, process, points.get("/", "")):
            yield path


def _is_mounted(path: str, process: Process, root: str) -> bool:
    """Whether the path, as the container sees it, is on another mount than its root."""
    fd = _open(path, process)
    if fd < 0:
        return False
    try:
        lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    finally:
        os.close(fd)
    return root not in {line.split()[1] for line in lines if line.startswith("mnt_id:")}


def _is_gone(device: object, process: Process) -> bool:
    target, source = device.target, Path(device.source)  # type: ignore[attr-defined]
    fd = _open(target, process)
    if fd < 0:
        return True
    try:
        wanted = source.stat()
        return not source.is_dir() and os.fstat(fd).st_rdev != wanted.st_rdev
    except FileNotFoundError:  # the host's own is gone: a restart would find none either
        return False
    finally:
        os.close(fd)


def _open(path: str, process: Process) -> int:
    """A descriptor of a path as the process sees it; -1 when there is none."""
    try:
        root = os.open(f"/proc/{process.pid}/root", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        return beneath.open_in_root(root, path, os.O_PATH)
    except OSError:
        return -1
    finally:
        os.close(root)


@functools.cache
def _guarded() -> frozenset[str]:
    """Paths of this host's kernel that a container with no option on them finds hidden or read-only."""
    hidden, read_only = isolation.guarded_paths(Container(name="any", image="any"))
    return frozenset(path for path in (*hidden, *read_only) if os.path.lexists(path))


def _plain(text: str) -> str:
    """Without the escapes of mountinfo (proc(5)): octal digits of space, tab, newline and backslash."""
    for code, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, sign)
    return text
