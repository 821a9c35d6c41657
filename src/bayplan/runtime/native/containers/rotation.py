"""Logs cut by rename: nothing that was written is lost, as it is when the monitor truncates by itself.

The file is renamed, then the monitor is told to open its path anew, through its control FIFO (conmon(8); ``2`` is
REOPEN_LOGS_EVENT of its ctrl.c). Until it does so it writes into the renamed file.
"""

from __future__ import annotations

import os
from pathlib import Path

from bayplan.system.files import atomic_write

_REOPEN = b"2 0 0\n"


def files(log: Path) -> list[Path]:
    """The files of a log, oldest first."""
    numbered = {}
    for item in log.parent.glob(f"{log.name}.*"):
        number = item.name[len(log.name) + 1 :]
        if number.isdigit():
            numbered[int(number)] = item
    return [*(numbered[number] for number in sorted(numbered, reverse=True)), *([log] if log.exists() else [])]


def rotate(log: Path, control: Path, max_size_bytes: int, max_files: int, *, told: bool = False) -> bool:
    """Begin a new file when the log has reached the size; at most ``max_files`` stay. Whether it did.

    A kill between the renames and the message leaves no ``log``: the message is sent again, unless the caller has
    ``told`` the monitor itself, which has yet to listen. Told twice it would put a second new file over the first.
    """
    numbered = [item for item in files(log) if item != log]
    if not log.exists():
        if numbered and not told:
            _say(control, _REOPEN)
        return False
    if log.stat().st_size < max_size_bytes:
        return False
    for item in numbered:
        number = int(item.name.rpartition(".")[2])
        # The oldest goes; with one file only, what was written before is gone once the monitor has left it.
        if number >= max(max_files - 1, 1):
            _count(log, item.stat().st_size)
            item.unlink(missing_ok=True)
        else:
            item.rename(log.with_name(f"{log.name}.{number + 1}"))
    log.rename(log.with_name(f"{log.name}.1"))
    _say(control, _REOPEN)
    return True


def lost(log: Path) -> int:
    """Bytes of the log that were cut off for good so far."""
    try:
        return int(_counter(log).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _count(log: Path, size_bytes: int) -> None:
    """Before the file goes: a kill between the two counts it twice, never not at all."""
    atomic_write(_counter(log), str(lost(log) + size_bytes).encode(), durable=False)


def _counter(log: Path) -> Path:
    return log.with_name(f"{log.name}-lost")


def _say(control: Path, message: bytes) -> None:
    try:
        fd = os.open(control, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # ENXIO, ENOENT: no monitor that listens; the next start opens the path anyway
        return
    try:
        os.write(fd, message)
    finally:
        os.close(fd)
