"""Where a container's files are: all derived from its id, so that what a kill left is found from the record alone."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from bayplan.runtime.native.containers import groups
from bayplan.runtime.native.supervisor.place import Roots
from bayplan.values import frozen


@frozen
class Paths:
    """The directories of one container."""

    data: Path
    """Survives a reboot: the container's own layer and its log."""
    run: Path
    """Ends with a reboot: the bundle, pid and exit files."""
    cgroup: str

    @classmethod
    def of(cls, settings: Roots, container_id: str) -> Paths:
        """The places of a container by its id."""
        data = settings.state_root / "containers" / container_id
        return cls(
            data,
            settings.run_root / "containers" / container_id,
            groups.kept(data) or f"{settings.cgroup_parent}/{container_id}",
        )

    @cached_property
    def upper(self) -> Path:
        """The container's own layer."""
        return self.data / "upper"

    @cached_property
    def work(self) -> Path:
        """The work directory of the overlay, on the same file system as ``upper``."""
        return self.data / "work"

    @cached_property
    def log(self) -> Path:
        """What the container wrote, in the k8s-file form."""
        return self.data / "log"

    @cached_property
    def rootfs(self) -> Path:
        """Where the overlay is mounted, in a mount namespace of its own."""
        return self.run / "rootfs"

    @cached_property
    def pid_file(self) -> Path:
        """The container's first process, written by the runtime."""
        return self.run / "pid"

    @cached_property
    def monitor_pid_file(self) -> Path:
        """The monitor, written by itself."""
        return self.run / "conmon.pid"

    @cached_property
    def control(self) -> Path:
        """The FIFO on which the monitor takes messages."""
        return self.run / "ctl"

    @cached_property
    def exit_dir(self) -> Path:
        """Here the monitor writes a file named by the id with the exit code."""
        return self.run / "exit"
