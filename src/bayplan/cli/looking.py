"""top, stats, inspect and ps: what containers are and do now."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from bayplan.cli.common import container_names, containers, opened, show, table
from bayplan.cli.printable import printable
from bayplan.errors import ConflictError
from bayplan.models import Container
from bayplan.reconcile.verbs import LIVE
from bayplan.runtime.protocol import Health, Observed, Runtime
from bayplan.system.usage import Usage

_SAMPLE_S = 1.0
_TOP = ("UID", "PID", "PPID", "STIME", "TTY", "TIME", "CMD")
_STATS = ("NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS")


def top(options: Namespace) -> int:
    """Print the processes of each that runs."""
    with opened() as (runtime, _):
        names = _live(options, runtime)
        found = {name: runtime.processes(name) for name in names}
    if options.json:
        print(json.dumps({name: [asdict(row) for row in rows] for name, rows in found.items()}, default=str))
        return 0
    for name, rows in found.items():
        lines = [
            (
                row.user,
                str(row.pid),
                str(row.parent),
                f"{row.started:%H:%M}",
                row.terminal,
                _clock(row.cpu_s),
                row.command,
            )
            for row in rows
        ]
        print(f"{name}\n{table([_TOP, *([printable(cell) for cell in line] for line in lines)])}\n")
    return 0


def stats(options: Namespace) -> int:
    """Print what each uses, every second until interrupted."""
    with opened() as (runtime, _):
        names = _live(options, runtime)
        before, began = {name: runtime.usage(name) for name in names}, time.monotonic()
        while True:
            time.sleep(_SAMPLE_S)
            after, now = {name: runtime.usage(name) for name in names}, time.monotonic()
            shares = {name: (after[name].cpu_ns - before[name].cpu_ns) / (now - began) / 1e7 for name in names}
            data = [{"name": name, "cpu_percent": max(0.0, shares[name]), **asdict(after[name])} for name in names]
            lines = [_stats_line(name, max(0.0, shares[name]), after[name]) for name in names]
            show(options, data, table([_STATS, *lines]))
            if options.no_stream:
                return 0
            before, began = after, now


def inspect(options: Namespace) -> int:
    """Print JSON, an array as `docker inspect` does."""
    with opened() as (runtime, _):
        found = [runtime.inspect(name) for name in container_names(options, runtime)]
    print(json.dumps(found, indent=None if options.json else 4))
    return 0


def ps(options: Namespace) -> int:
    """List them."""
    with opened() as (runtime, _):
        found = containers(options, runtime, none_too=True)
        chosen = [item for item in found if options.all or item.status.state in LIVE]
    if options.quiet:
        show(options, [item.handle for item in chosen], "\n".join(item.handle for item in chosen))
        return 0
    head = ("NAME", "IMAGE", "SERVICE", "STATUS", "PORTS")
    lines = [tuple(str(value) for value in _ps_row(item).values()) for item in chosen]
    data = [{**_ps_row(item), "id": item.handle, "state": item.status.state.value} for item in chosen]
    show(options, data, table([head, *lines]))
    return 0


def _live(options: Namespace, runtime: Runtime) -> list[str]:
    chosen = containers(options, runtime)
    names = [item.id.name for item in chosen if item.status.state in LIVE]
    if options.service and len(names) < len(chosen):
        ended = ", ".join(item.id.name for item in chosen if item.id.name not in names)
        raise ConflictError(f"container {ended} is not running", hint="start it first")
    return names


def _ps_row(item: Observed) -> dict[str, str]:
    held = item.actual
    assert isinstance(held, Container)
    ports = ", ".join(str(port) for port in held.ports)
    return {
        "name": held.name,
        "image": held.image,
        "service": held.service,
        "status": _phrase(item),
        "ports": ports,
    }


def _phrase(item: Observed) -> str:
    live = item.status
    if live.state in LIVE and live.started_at:
        age = _age((datetime.now(UTC) - live.started_at).total_seconds())
        notes = [live.health.value] if live.health is not Health.NONE else []
        notes += [live.state.value] if live.state.value != "running" else []
        return f"Up {age}" + "".join(f" ({note})" for note in notes)
    return f"Exited ({live.exit_code})" if live.exit_code is not None else live.state.value.capitalize()


def _stats_line(name: str, percent: float, used: Usage) -> Sequence[str]:
    limit = used.memory_limit_bytes
    return (
        name,
        f"{percent:.2f}%",
        f"{_size(used.memory_bytes)} / {_size(limit) if limit else 'no limit'}",
        f"{100 * used.memory_bytes / limit:.2f}%" if limit else "-",
        f"{_size(used.network_received_bytes)} / {_size(used.network_sent_bytes)}",
        f"{_size(used.block_read_bytes)} / {_size(used.block_written_bytes)}",
        f"{used.pids}" + (f" / {used.pids_limit}" if used.pids_limit else ""),
    )


def _size(size_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.4g}{unit}"
        size_bytes /= 1024
    return f"{size_bytes:.4g}TiB"


def _age(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(max(0, seconds))} seconds"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 3600:02}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"
