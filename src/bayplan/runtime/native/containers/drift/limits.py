"""Limits of the first process: those of getrlimit(2), and how readily the kernel kills it.

A process may lower its limits and move its soft ones: only a hard limit above the declared one is drift.
"""

from __future__ import annotations

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


def defects(container: Container, process: Process) -> dict[str, str]:
    """What it has beyond its declaration."""
    raised = _raised(container, process)
    found = {f"its limit {kind} is {_spelled(held)}, not {hard}": Change.IN_PLACE.value for kind, held, hard in raised}
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
    for wanted in rlimits(container) if container.ulimits else ():
        number = getattr(resource, wanted["type"], None)
        if number is None or wanted["hard"] == _UNLIMITED:
            continue
        try:
            held = resource.prlimit(process.pid, number)[1]
        except ProcessLookupError:
            return
        if held == resource.RLIM_INFINITY or held > wanted["hard"]:
            yield wanted["type"], held, wanted["hard"]


def _spelled(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)
