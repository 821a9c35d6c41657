"""top, stats and inspect: what containers are and do now."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict

from bayplan.cli.common import container_names, containers, opened, show, table
from bayplan.cli.formatted import formatted
from bayplan.cli.printable import printable
from bayplan.cli.template import render
from bayplan.errors import ConflictError
from bayplan.runtime.protocol import LIVE, Observed, Runtime
from bayplan.system.usage import Usage

_SAMPLE_S = 1.0
_TOP = ("UID", "PID", "PPID", "STIME", "TTY", "TIME", "CMD")
_FIELDS = ("Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
"""Of a template, as docker stats names them."""
_STATS = ("NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS")


def top(options: Namespace) -> int:
    """Print the processes of each that runs."""
    with opened(options) as (runtime, _):
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
    with opened(options) as (runtime, _):
        chosen = _live_ones(options, runtime)
        names, ids = [item.id.name for item in chosen], {item.id.name: item.handle[:12] for item in chosen}
        before, began = {name: runtime.usage(name) for name in names}, time.monotonic()
        while True:
            time.sleep(_SAMPLE_S)
            after, now = {name: runtime.usage(name) for name in names}, time.monotonic()
            shares = {name: (after[name].cpu_ns - before[name].cpu_ns) / (now - began) / 1e7 for name in names}
            data = [{"name": name, "cpu_percent": max(0.0, shares[name]), **asdict(after[name])} for name in names]
            lines = [_stats_line(name, max(0.0, shares[name]), after[name]) for name in names]
            if options.format:
                rows = [dict(zip(_FIELDS, line, strict=True)) for line in lines]
                rows = [{**row, "Container": row["Name"], "ID": ids[row["Name"]]} for row in rows]
                print(formatted(options.format, rows, _FIELDS), flush=True)
            else:
                show(options, data, table([_STATS, *lines]))
            if options.no_stream:
                return 0
            before, began = after, now


def inspect(options: Namespace) -> int:
    """Print JSON, an array as `docker inspect` does, or what a template makes of each."""
    with opened(options) as (runtime, _):
        found = [runtime.inspect(name) for name in container_names(options, runtime)]
    if options.format:
        print("\n".join(render(options.format, item) for item in found))
    else:
        print(json.dumps(found, indent=None if options.json else 4))
    return 0


def _live(options: Namespace, runtime: Runtime) -> list[str]:
    return [item.id.name for item in _live_ones(options, runtime)]


def _live_ones(options: Namespace, runtime: Runtime) -> list[Observed]:
    chosen = containers(options, runtime)
    live = [item for item in chosen if item.status.state in LIVE]
    if options.service and len(live) < len(chosen):
        ended = ", ".join(item.id.name for item in chosen if item not in live)
        raise ConflictError(f"container {ended} is not running", hint="start it first")
    return live


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


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 3600:02}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"
