"""Processes as ps(1) shows them, from /proc (proc(5))."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bayplan.system.processes import Process

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class ProcessRow:
    """One process, its numbers as the host sees them. ``cpu_s`` is what it has used; ``started`` is local time."""

    user: str
    pid: int
    parent: int
    started: datetime
    terminal: str
    cpu_s: float
    command: str


def rows(processes: Iterable[Process]) -> list[ProcessRow]:
    """Rows of those that still run, by pid."""
    boot = _boot_time()
    found = (_row(item, boot) for item in processes)
    return sorted((item for item in found if item), key=lambda item: item.pid)


def _row(process: Process, boot: float) -> ProcessRow | None:
    top = Path(f"/proc/{process.pid}")
    try:
        stat = (top / "stat").read_text()
        uid = top.stat().st_uid
        words = (top / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    name = stat.partition("(")[2].rpartition(")")[0]
    fields = stat.rpartition(")")[2].split()  # from field (3) on
    terminal = int(fields[4])
    # tty_nr: minor in bits 31-20 and 7-0, major in 15-8; 136 and on are pseudo-terminals.
    major, minor = terminal >> 8 & 0xFF, terminal >> 12 & 0xFFF00 | terminal & 0xFF
    return ProcessRow(
        _user(uid),
        process.pid,
        int(fields[1]),
        datetime.fromtimestamp(boot + process.start / _TICKS).astimezone(),
        f"pts/{minor}" if 136 <= major <= 143 else "?",
        (int(fields[11]) + int(fields[12])) / _TICKS,
        words or f"[{name}]",
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _boot_time() -> float:
    lines = Path("/proc/stat").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("btime ")))
