"""The cgroup freezer: every process of a group stopped where it is, and let go on.

v1: ``freezer.state`` (kernel: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst); v2: ``cgroup.freeze`` and the
``frozen`` line of ``cgroup.events`` (cgroup-v2.rst, "Core Interface Files").
"""

from __future__ import annotations

import time
from pathlib import Path

from bayplan.errors import RuntimeFailureError, UnsupportedError
from bayplan.system import cgroups
from bayplan.system.files import read_if_there

_TIMEOUT_S = 10.0
_POLL_S = 0.002


def freeze(path: str) -> None:
    """Stop the group and wait until it stands. Thawed again when it does not within 10 s.

    Raises UnsupportedError where there is no freezer, RuntimeFailureError for a group that does not come to a stand (a
    process in an uninterruptible wait).
    """
    file = _file(path)
    if file is None:
        raise UnsupportedError(f"no cgroup freezer for {path}", hint="mount the v1 freezer, or use cgroup v2")
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        # v1 wants it said again while it is FREEZING: a process that was not freezable then may be so now.
        file.write_text("1" if file.name == "cgroup.freeze" else "FROZEN")
        if _stands(file):
            return
        if time.monotonic() >= deadline:
            thaw(path)
            raise RuntimeFailureError(
                f"the processes of {path} do not come to a stand", hint="one may wait for a device"
            )
        time.sleep(_POLL_S)


def thaw(path: str) -> None:
    """Let the group go on; one that is not frozen, or gone, is no error."""
    if not is_frozen(path) or (file := _file(path)) is None:
        return
    try:
        file.write_text("0" if file.name == "cgroup.freeze" else "THAWED")
    except FileNotFoundError:
        return


def is_frozen(path: str) -> bool:
    """Whether the group was told to stop."""
    return read_if_there(_place(path)).strip() in (b"1", b"FROZEN", b"FREEZING")


def _stands(file: Path) -> bool:
    if file.name != "cgroup.freeze":
        return file.read_text().strip() == "FROZEN"
    return "frozen 1" in file.with_name("cgroup.events").read_text().splitlines()


def _file(path: str) -> Path | None:
    """The file that freezes the group; None when the host has none for it."""
    found = Path(_place(path))
    return found if found.exists() else None


def _place(path: str) -> str:
    relative = path.lstrip("/")
    if cgroups.is_unified(cgroups.ROOT):
        return f"{cgroups.ROOT}/{relative}/cgroup.freeze"
    return f"{cgroups.ROOT}/freezer/{relative}/freezer.state"
