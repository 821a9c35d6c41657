"""Control groups, v1, v2 and hybrid behind one set of functions."""

from __future__ import annotations

import functools
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from bayplan.system.files import read_if_there
from bayplan.system.processes import Process

ROOT = Path("/sys/fs/cgroup")


@functools.cache
def is_unified(root: Path = ROOT) -> bool:
    """Whether the host has cgroup v2 alone. Looked up once."""
    return (root / "cgroup.controllers").exists()


@functools.cache
def hierarchies(root: Path = ROOT) -> tuple[Path, ...]:
    """Every mounted hierarchy: one on v2; one for each controller, and ``unified``, elsewhere. Looked up once."""
    if is_unified(root):
        return (root,)
    try:
        found = sorted(item for item in root.iterdir() if item.is_dir() and not item.is_symlink())
    except FileNotFoundError:
        return ()
    return tuple(found)


@functools.cache
def _tops() -> tuple[str, ...]:
    """The same as text: of every container a dozen are looked at, and pathlib takes longer than the kernel."""
    return tuple(map(str, hierarchies()))


@functools.cache
def controllers() -> frozenset[str]:
    """The controllers that this host can limit by: v2's own on a unified host, else those mounted as v1. Found once."""
    if is_unified():
        return frozenset((ROOT / "cgroup.controllers").read_text().split())
    return frozenset(name for top in hierarchies() for name in top.name.split(",")) - {"unified", "systemd"}


def has_file(controller: str, name: str) -> bool:
    """Whether groups of this host have that file: v1's stand in the root too, v2's only below it."""
    if not is_unified():
        return (ROOT / controller / name).exists() or any((ROOT / controller).glob(f"*/{name}"))
    return any(ROOT.glob(f"*/{name}")) or any(ROOT.glob(f"*/*/{name}"))


def write(path: str, controller: str, name: str, value: str) -> None:
    """Write a file of a group (``/parent/name``). Raises OSError."""
    top = ROOT if is_unified() else ROOT / controller
    (top / path.lstrip("/") / name).write_text(value)


def read(path: str, controller: str, unified: str, legacy: str) -> str:
    """What a file of a group (``/parent/name``) says: v2's or v1's; empty where there is none."""
    top, name = (ROOT, unified) if is_unified() else (ROOT / controller, legacy)
    return read_if_there(f"{top}/{path.lstrip('/')}/{name}").decode(errors="replace")


def all_of_cpuset(kind: str) -> str:
    """Every processor (``cpus``) or memory node (``mems``) that a group may have here."""
    for file in (ROOT / f"cpuset.{kind}.effective", ROOT / "cpuset" / f"cpuset.{kind}"):
        if file.exists():
            return file.read_text().strip()
    return "0"


def host_swappiness() -> int:
    """What a v1 group has when nothing is said."""
    return int(Path("/proc/sys/vm/swappiness").read_text())


def members(path: str) -> tuple[Process, ...]:
    """The processes in a group (``/parent/name``), whatever the layout."""
    pids: set[bytes] = set()
    for top in _tops():
        for directory in _tree(f"{top}/{path.lstrip('/')}"):
            pids.update(read_if_there(f"{directory}/cgroup.procs").split())
    found = (Process.of(int(pid)) for pid in sorted(pids))
    return tuple(process for process in found if process)


def remove(path: str, *, patience_s: float = 0.0) -> bool:
    """Remove a group and those below it in every hierarchy; one that is still in use after ``patience_s`` stays.

    Whether all are gone: nothing is in them then. A process that was killed leaves its group a moment after its parent
    could know.
    """
    deadline = time.monotonic() + patience_s
    while True:
        left = False
        for top in _tops():
            for directory in reversed(_tree(f"{top}/{path.lstrip('/')}")):
                try:
                    os.rmdir(directory)  # noqa: PTH106 - see _tops
                except OSError:
                    left = True
        if not left or time.monotonic() >= deadline:
            return not left
        time.sleep(0.01)


def enter(path: str) -> None:
    """Put this process into a group of its own, so that it does not end with the service that started it.

    Only in the hierarchies by which services are tracked (v2; v1's ``systemd`` and ``unified``); where the host does
    not allow it, the process stays where it is.
    """
    for hierarchy in _tracking():
        directory = hierarchy / path.lstrip("/")
        with suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "cgroup.procs").write_text("0")


def put(pid: int, path: str) -> None:
    """Put another process of ours into a group, as ``enter`` does with this one."""
    for hierarchy in _tracking():
        directory = f"{hierarchy}/{path.lstrip('/')}"
        if not _move(pid, directory):
            with suppress(OSError):
                Path(directory).mkdir(parents=True, exist_ok=True)
                _move(pid, directory)


def take(pid: int) -> None:
    """Put another process of ours into this one's group, in the hierarchies by which services are tracked.

    For one that is about to end: it stays in its group until its parent, mostly the host's init, has asked for its
    status, and some ask every few seconds only.
    """
    own = {kinds: path for _, kinds, path in (line.split(":", 2) for line in _own_groups().splitlines())}
    for hierarchy in _tracking():
        path = own.get(f"name={hierarchy.name}" if hierarchy.name == "systemd" else "")
        if path is not None:
            _move(pid, f"{hierarchy}/{path.lstrip('/')}")


def _move(pid: int, directory: str) -> bool:
    """Whether a process was put into a group; not when the group or the process is gone, or the host forbids it."""
    try:
        fd = os.open(f"{directory}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, b"%d" % pid)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _own_groups() -> str:
    return read_if_there("/proc/self/cgroup").decode(errors="surrogateescape").strip()


def expect_move() -> None:
    """Tell the kernel that a process will soon change its group; returns at once.

    The first change after a pause waits for a grace period of RCU, 10 to 25 ms (``cgroup_threadgroup_rwsem``, whose
    readers are every fork and exit); others shortly after it do not wait (kernel: ``rcu_sync_enter``). A change of
    this process to the group that it is in begins that wait now, beside other work.
    """
    global _expected
    before, _expected = _expected, time.monotonic()
    if _expected - before > _GRACE_S:
        threading.Thread(target=_move_nowhere, name="cgroup", daemon=True).start()


_expected = float("-inf")
_GRACE_S = 0.05


def _move_nowhere() -> None:
    with suppress(OSError, StopIteration, ValueError):
        lines = (line.split(":", 2) for line in _own_groups().splitlines())
        named = next((kinds, path) for _, kinds, path in lines if kinds in ("", "pids"))
        top = ROOT / named[0] if not is_unified() else ROOT
        (top / named[1].lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))


def leave(path: str) -> None:
    """Put this process into the root group and remove the one it was in."""
    for hierarchy in _tracking():
        if (hierarchy / path.lstrip("/")).is_dir():
            with suppress(OSError):
                (hierarchy / "cgroup.procs").write_text("0")
    remove(path)


@functools.cache
def _tracking() -> list[Path]:
    tops = [ROOT] if is_unified() else [ROOT / "systemd", ROOT / "unified"]
    return [top for top in tops if (top / "cgroup.procs").exists()]


def remove_empty(path: str) -> None:
    """Remove a group that has no groups below it and no processes; another one stays."""
    for top in _tops():
        try:
            os.rmdir(f"{top}/{path.lstrip('/')}")  # noqa: PTH106 - see _tops
        except OSError:
            continue


def was_oom_killed(path: str) -> bool:
    """Whether the kernel killed a process of the group for memory (memory.events, memory.oom_control)."""
    group = path.lstrip("/")
    for file in (f"{ROOT}/{group}/memory.events", f"{ROOT}/memory/{group}/memory.oom_control"):
        lines = read_if_there(file).splitlines()
        if any(line.startswith(b"oom_kill ") and line.split()[1] != b"0" for line in lines):
            return True
    return False


def _tree(top: str) -> list[str]:
    """A group and those below it, from the top; none when it is not there."""
    try:
        links = os.stat(top).st_nlink  # noqa: PTH116 - see _tops
    except FileNotFoundError:
        return []
    # A directory has two links and one more for each directory in it (kernel: kernfs), and rarely a group has groups.
    return [top] if links == 2 else [base for base, _, _ in os.walk(top)]
