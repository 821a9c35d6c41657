"""The core's roots and the supervisor's own files, without the models: they are slow to load and large."""

from __future__ import annotations

import functools
import json
from functools import cached_property
from pathlib import Path
from typing import Protocol

from bayplan.system import cgroups
from bayplan.values import frozen


class Roots(Protocol):
    """What ``Settings`` and ``Place`` have in common."""

    @property
    def state_root(self) -> Path:
        """Records, images, volumes, container data."""

    @property
    def run_root(self) -> Path:
        """What a reboot ends."""

    @property
    def cgroup_parent(self) -> str:
        """The cgroup below which containers live."""

    @property
    def oci_runtime(self) -> str:
        """The OCI runtime: a name in PATH or a path."""

    @property
    def log_max_size(self) -> int | None:
        """Size in bytes at which a log is cut; None: never."""

    @property
    def log_max_file(self) -> int:
        """Files of a log that stay when it is cut."""


@frozen
class Place:
    """The settings that the resident process needs."""

    state_root: Path
    run_root: Path
    cgroup_parent: str
    oci_runtime: str
    nft_table: str = ""
    interface_prefix: str = ""
    log_max_size: int | None = None
    log_max_file: int = 3

    @classmethod
    def read(cls, file: Path) -> Place:
        """From the settings as JSON. Raises OSError."""
        found = json.loads(file.read_text())
        return cls(
            Path(found["state_root"]),
            Path(found["run_root"]),
            found["cgroup_parent"],
            str(found["oci_runtime"]),
            found["nft_table"],
            found["interface_prefix"],
            found.get("log_max_size"),
            found.get("log_max_file", 3),
        )


@frozen
class Files:
    """The files of one supervisor, below the run root."""

    directory: Path

    @classmethod
    def of(cls, roots: Roots) -> Files:
        """Those of a core."""
        return _files(roots.run_root)

    @property
    def settings(self) -> Path:
        """The core's settings as JSON; it names the core on the command line."""
        return self.directory / "settings.json"

    @property
    def lock(self) -> Path:
        """flock(2) on it makes the process the only one."""
        return self.directory / "lock"

    @property
    def holder(self) -> Path:
        """Pid, start time and version of the one that watches now; absent when none does."""
        return self.directory / "holder.json"

    @cached_property
    def wake(self) -> Path:
        """A FIFO: a byte in it means that records have changed."""
        return self.directory / "wake"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.directory / "log"


@functools.cache
def _files(run_root: Path) -> Files:
    """Once: every change of a container looks for the FIFO."""
    return Files(run_root / "supervisor")


def cgroup(roots: Roots) -> str:
    """The process's own group: it must not end with the service or the session that happened to start it."""
    return f"{roots.cgroup_parent}/supervisor"


def monitors_cgroup(roots: Roots) -> str:
    """The group of the containers' monitors, for the same reason: systemd ends what is in a service's group with it."""
    return f"{roots.cgroup_parent}/monitors"


def tidy_cgroups(roots: Roots, *, patience_s: float = 0.0) -> None:
    """Remove the core's groups as far as they are empty; ``patience_s`` is for one whose processes have all ended.

    A process that has ended leaves its group only when its parent, mostly the host's init, has asked for its status.
    """
    for path in (monitors_cgroup(roots), cgroup(roots)):
        # One that is at its end has no command line any more (proc(5)).
        if patience_s and not any(process.arguments for process in cgroups.members(path)):
            cgroups.remove(path, patience_s=patience_s)
        else:
            cgroups.remove_empty(path)
    cgroups.remove_empty(roots.cgroup_parent)
