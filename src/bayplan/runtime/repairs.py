"""What a repair of records did, and how a damaged file is set aside: never removed, so that it can be looked into."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from bayplan.values import frozen


@frozen
class Repair:
    """Of one record file: ``fault`` is empty where it was whole, and ``aside`` where nothing was set aside."""

    file: str
    fault: str = ""
    aside: str = ""
    found: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def set_aside(path: Path) -> str:
    """Give a record file, and what SQLite keeps beside it, another name; that name, empty where there was none."""
    there, stamp = path.exists(), _stamp()
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        with suppress(FileNotFoundError):
            path.with_name(name).rename(path.with_name(f"{name}.damaged-{stamp}"))
    return str(path.with_name(f"{path.name}.damaged-{stamp}")) if there else ""


def _stamp() -> str:
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{time.monotonic_ns() % 10**6:06}"
