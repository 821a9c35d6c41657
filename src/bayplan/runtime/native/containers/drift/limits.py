"""Limits of the first process: those of getrlimit(2), and how readily the kernel kills it.

A process may lower its limits and move its soft ones: only a hard limit above the declared one is drift.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bayplan.models import Change, Container
from bayplan.runtime.native.containers.spec import isolation
from bayplan.runtime.native.containers.spec.process import rlimits
from bayplan.system.files import read_if_there
from bayplan.system.processes import Process

_UNLIMITED = 2**64 - 1
_HARD = slice(47, 67)
"""Columns of /proc/PID/limits; its rows stand in the order of the limits' numbers (fs/proc/base.c, proc_pid_limits)."""


def defects(container: Container, process: Process) -> dict[str, str]:
    """What it has beyond its declaration."""
    found = {
        f"its limit {kind} is {_spelled(held)}, not {hard}": _way(process).value
        for kind, held, hard in _raised(container, process)
    }
    wanted, held = container.oom_score_adj, _score(container, process)
    if wanted is not None and held not in (None, wanted):
        # Nobody but root with CAP_SYS_RESOURCE takes it down again (proc(5)); inside another container we may lack it.
        able = held < wanted or "SYS_RESOURCE" in isolation.available()
        found[f"its oom_score_adj is {held}, not {wanted}"] = (Change.IN_PLACE if able else Change.RESTART).value
    return found


def heal(container: Container, process: Process) -> None:
    """Set them again."""
    for kind, _, hard in _raised(container, process):
        number = getattr(resource, kind)
        soft = resource.prlimit(process.pid, number)[0]
        resource.prlimit(process.pid, number, (hard if soft < 0 else min(soft, hard), hard))
    if _score(container, process) not in (None, container.oom_score_adj):
        with suppress(FileNotFoundError, ProcessLookupError):
            Path(f"/proc/{process.pid}/oom_score_adj").write_text(str(container.oom_score_adj))


def _score(container: Container, process: Process) -> int | None:
    """What it has where one was declared."""
    if container.oom_score_adj is None:
        return None
    held = read_if_there(f"/proc/{process.pid}/oom_score_adj").strip()
    return int(held) if held else None


def _raised(container: Container, process: Process) -> Iterator[tuple[str, int, int]]:
    if not container.ulimits:
        return
    # Not prlimit(2): of another user's process it tells nobody without CAP_SYS_RESOURCE.
    shown = read_if_there(f"/proc/{process.pid}/limits").decode().splitlines()[1:]
    for wanted in rlimits(container):
        number = getattr(resource, wanted["type"], None)
        if number is None or wanted["hard"] == _UNLIMITED or number >= len(shown):
            continue
        text = shown[number][_HARD].strip()
        held = resource.RLIM_INFINITY if text == "unlimited" else int(text)
        if held == resource.RLIM_INFINITY or held > wanted["hard"]:
            yield wanted["type"], held, wanted["hard"]


def _way(process: Process) -> Change:
    """Only with CAP_SYS_RESOURCE prlimit(2) changes what another user's process has."""
    shown = read_if_there(f"/proc/{process.pid}/status").decode()
    found = re.findall(r"^[UG]id:((?:\t\d+){3})", shown, re.MULTILINE)
    is_ours = [row.split() for row in found] == [[str(os.getuid())] * 3, [str(os.getgid())] * 3]
    return Change.IN_PLACE if is_ours or "SYS_RESOURCE" in isolation.available() else Change.RESTART


def _spelled(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)
