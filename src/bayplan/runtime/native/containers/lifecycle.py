"""Start, stop and removal of one container's processes and files. Knows no records."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from bayplan.errors import RuntimeFailureError, UnsupportedError
from bayplan.runtime.native.containers.oci import OciRuntime
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.supervisor.place import monitors_cgroup
from bayplan.system import cgroups, freezer, mounts, namespaces
from bayplan.system.files import private_directory, read_if_there
from bayplan.system.processes import Process, find_by_argument

_KILL_TIMEOUT_S = 10.0


def _nothing() -> None:
    """No work of the caller's."""


def start(
    runtime: OciRuntime,
    container_id: str,
    paths: Paths,
    lowerdirs: Sequence[Path],
    meanwhile: Callable[[], None] = _nothing,
    *,
    streams: Sequence[str] = (),
    furnish: Callable[[Path], None] = lambda _: None,
    show_layers: Callable[[Sequence[Path]], Sequence[Path]] = lambda layers: layers,
    created: Callable[[], None] = _nothing,
) -> Process:
    """Run the container of a written bundle. Gives its first process. Raises RuntimeFailureError.

    The overlay is mounted in the mount namespace in which the monitor is started, and ends with it. ``meanwhile`` is
    done by the calling thread while the runtime creates the container (most of that time it waits for the kernel); the
    container's program starts only after both. ``streams`` are options of the monitor; ``furnish`` is given the bundle,
    in that namespace, and before the overlay is mounted ``show_layers`` its layers. ``created`` is called when its
    monitor is there and nothing in it runs yet.
    """
    runtime.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    private_directory(paths.data.parent)
    paths.data.mkdir(exist_ok=True, mode=0o700)
    make_upper(paths)
    for directory in (paths.work, paths.rootfs, paths.exit_dir):
        directory.mkdir(exist_ok=True, mode=0o700)
    (paths.exit_dir / container_id).unlink(missing_ok=True)
    paths.pid_file.unlink(missing_ok=True)
    ready: Future[None] = Future()

    def launch() -> None:
        mounts.mount_overlay(show_layers(lowerdirs), paths.upper, paths.work, paths.rootfs)
        _refuse_links(paths.rootfs, container_id)
        furnish(paths.run)
        runtime.create(container_id, paths, *streams)
        monitor = paths.monitor_pid_file.read_text()
        cgroups.put(int(monitor), monitors_cgroup(runtime.settings))
        created()
        ready.result()
        runtime.start(container_id, hooks=_has_hooks(paths))

    def prepare() -> None:
        try:
            meanwhile()
        except BaseException as error:
            ready.set_exception(error)
            raise
        ready.set_result(None)

    namespaces.in_private_mounts(launch, prepare)
    pid = int(paths.pid_file.read_text())
    # A short-lived process may be gone already; its exit file tells the rest.
    return Process.of(pid) or Process(pid, 0)


def make_upper(paths: Paths) -> None:
    """Make the container's own layer; its root is that of the container, where every user must be able to look."""
    if not paths.upper.is_dir():
        paths.upper.mkdir(mode=0o755)
        paths.upper.chmod(0o755)  # whatever the umask


def _refuse_links(rootfs: Path, container_id: str) -> None:
    """Raise UnsupportedError where an image has a link in the place of what is mounted first.

    Old runtimes follow it, and make device nodes outside of the root file system; newer ones do not say what is wrong.
    """
    for name in ("dev", "proc", "sys"):
        try:
            mode = os.lstat(f"{rootfs}/{name}").st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(mode):
            raise UnsupportedError(
                f"/{name} of its image is no directory, so that the container's own cannot be mounted there",
                where=f"container {container_id[:12]}",
                hint="use another image",
            )


def is_monitored(container_id: str, paths: Paths) -> bool:
    """Whether the container's monitor lives. Without it nobody reads what the container writes (SIGPIPE, pipe(7))."""
    return _monitor(container_id, paths) is not None


def _monitor(container_id: str, paths: Paths) -> Process | None:
    try:
        monitor = Process.of(int(read_if_there(str(paths.monitor_pid_file))))
    except ValueError:
        return None
    return monitor if monitor is not None and f"--cid={container_id}" in monitor.arguments else None


def take_monitor(container_id: str, paths: Paths) -> None:
    """Have the monitor of a container that is to be removed end in the caller's group, so that its own can go."""
    monitor = _monitor(container_id, paths)
    if monitor:
        cgroups.take(monitor.pid)


def stop(process: Process, stop_signal: int, grace_s: float, cgroup: str) -> None:
    """Signal the first process; after the grace period kill the whole group. Raises RuntimeFailureError when it stays.

    Monotonic time: a clock that jumps neither shortens nor lengthens the grace (time.monotonic).
    """
    sent = process.send(stop_signal)
    # A paused one takes the signal when it goes on.
    freezer.thaw(cgroup)
    if not sent or process.wait(grace_s):
        kill(cgroup)
        return
    process.send(signal.SIGKILL)
    if not process.wait(_KILL_TIMEOUT_S):
        raise RuntimeFailureError(f"process {process.pid} does not end after SIGKILL", hint="it may wait for a device")
    kill(cgroup)


def kill(cgroup: str) -> None:
    """Kill everything in the container's cgroup. Raises RuntimeFailureError when something stays.

    Nothing may be forgotten while that runs: nobody would know any more whose it is.
    """
    deadline = time.monotonic() + _KILL_TIMEOUT_S
    while left := cgroups.members(cgroup):
        if time.monotonic() >= deadline:
            pids = ", ".join(str(process.pid) for process in left)
            raise RuntimeFailureError(f"process {pids} does not end after SIGKILL", hint="it may wait for a device")
        for process in left:
            process.send(signal.SIGKILL)
        freezer.thaw(cgroup)  # v1: what is frozen dies only when it goes on
        for process in left:
            process.wait(max(0.0, deadline - time.monotonic()))


def await_exit_file(paths: Paths, container_id: str, timeout_s: float) -> int | None:
    """The exit code, once the monitor has written it; None when it does not within the time."""
    path = f"{paths.exit_dir}/{container_id}"
    deadline = time.monotonic() + timeout_s
    while True:
        if text := read_if_there(path).strip():
            return int(text)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.002)


def clear(runtime: OciRuntime, container_id: str, paths: Paths, *, started: bool = False) -> None:
    """End what is left of an earlier run: monitor, processes, the runtime's state, cgroup and run directory.

    The run directory is made before anything is started in it: without one there is nothing to end. ``started`` says
    that its start came to its end, so that only its monitor can be there; else every process is looked at.
    """
    if not paths.run.exists() and not (runtime.root / container_id).exists():
        return
    # The monitor before the runtime, and both before the container: each may be about to start the next. A runtime
    # that outlived whoever started it is in no cgroup of ours yet.
    if started:
        monitor = _monitor(container_id, paths)
        _end([monitor] if monitor else [], container_id)
    else:
        for programs in ((f"--cid={container_id}",), (container_id, str(runtime.root))):
            while found := find_by_argument(*programs):
                _end(found, container_id)
    # A group that can be removed has nothing in it.
    gone = started and cgroups.remove(paths.cgroup)
    if not gone:
        kill(paths.cgroup)
    if started and not _has_hooks(paths):
        runtime.forget(container_id)
    else:
        namespaces.in_private_mounts(lambda: runtime.delete(container_id))
    if not gone:
        cgroups.remove(paths.cgroup)
    # At once: its variables may be secrets, and what is taken away stays for a moment, or longer after a kill.
    (paths.run / "config.json").unlink(missing_ok=True)
    runtime.discarded.take(paths.run)


def _has_hooks(paths: Paths) -> bool:
    """Whether the bundle may have hooks (runtime specification, config.md, "POSIX-platform Hooks")."""
    try:
        return b'"hooks"' in (paths.run / "config.json").read_bytes()
    except FileNotFoundError:
        return True


def _end(processes: Sequence[Process], container_id: str) -> None:
    for process in processes:
        process.send(signal.SIGKILL)
        if not process.wait(_KILL_TIMEOUT_S):
            raise RuntimeFailureError(f"process {process.pid} of container {container_id[:12]} does not end")


def remove(runtime: OciRuntime, container_id: str, paths: Paths, *, started: bool = False) -> None:
    """Everything of the container that is on the host, in whatever state a kill left it. ``started``: see ``clear``."""
    clear(runtime, container_id, paths, started=started)
    runtime.discarded.take(paths.data)
