"""What containers use, what runs in them, and what happened to them: the engine's figures as the native core's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bayplan.models import labels
from bayplan.runtime.engine_api.client import EngineClient
from bayplan.runtime.engine_api.images.transfer import lines
from bayplan.runtime.verbs import Happening
from bayplan.system import cgroups
from bayplan.system.process_table import ProcessRow, rows
from bayplan.system.processes import Process
from bayplan.system.usage import Usage

_NO_LIMIT = 1 << 62
_COLUMNS = ("pid", "ppid", "user", "tty", "etimes", "times", "args")
_PODMANS = {"died": "die", "remove": "destroy"}
_TOLD = frozenset(
    (
        *("create", "start", "restart", "die", "stop", "kill", "pause", "unpause", "rename", "destroy", "oom"),
        *("health_status", "update", "attach", "exec_die", "commit", "copy", "archive-path", "extract-to-dir"),
    )
)


def usage(stats: Mapping[str, Any], *, limited: bool) -> Usage:
    """One reading of ContainerStats. ``limited``: its memory has a limit of its own, not just the host's size."""
    memory, pids = stats.get("memory_stats") or {}, stats.get("pids_stats") or {}
    detail = memory.get("stats") or {}
    unused = detail.get("total_inactive_file", detail.get("inactive_file", 0))
    block = (stats.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ()
    links = (stats.get("networks") or {}).values()
    most = int(pids.get("limit") or 0)
    return Usage(
        cpu_ns=int(((stats.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage") or 0),
        memory_bytes=max(0, int(memory.get("usage") or 0) - int(unused or 0)),
        memory_limit_bytes=int(memory["limit"]) if limited and memory.get("limit") else None,
        block_read_bytes=_summed(block, "read"),
        block_written_bytes=_summed(block, "write"),
        pids=int(pids.get("current") or 0),
        pids_limit=most if 0 < most < _NO_LIMIT else None,
        network_received_bytes=sum(int(item.get("rx_bytes") or 0) for item in links),
        network_sent_bytes=sum(int(item.get("tx_bytes") or 0) for item in links),
    )


def _summed(block: Any, kind: str) -> int:
    return sum(int(item["value"]) for item in block if str(item.get("op", "")).lower() == kind)


def local_processes(found: Mapping[str, Any]) -> list[ProcessRow] | None:
    """Those of a container on this very host, from the kernel; None when it does not show them."""
    first = Process.of(int((found.get("State") or {}).get("Pid") or 0))
    if first is None:
        return None
    with suppress(OSError):
        for line in Path(f"/proc/{first.pid}/cgroup").read_text().splitlines():
            path = line.split(":", 2)[2]
            # Of another namespace of processes the same number is somebody else.
            if str(found["Id"]) in path:
                members = cgroups.members(path[: path.index(str(found["Id"])) + len(str(found["Id"]))])
                return rows(members) or None
    return None


def processes(client: EngineClient, found: Mapping[str, Any]) -> list[ProcessRow]:
    """By the ps(1) of the engine's host (ContainerTop)."""
    said = client.call("GET", f"/containers/{found['Id']}/top", query={"ps_args": f"-o {','.join(_COLUMNS)}"})
    now = time.time()
    made = []
    for row in said.get("Processes") or ():
        pid, parent, user, terminal, age, used, command = row
        began = datetime.fromtimestamp(now - _seconds(age)).astimezone()
        made.append(ProcessRow(user, int(pid), int(parent), began, terminal, _seconds(used), command))
    return sorted(made, key=lambda item: item.pid)


def _seconds(text: str) -> float:
    return float(text) if text.replace(".", "", 1).isdigit() else 0.0


def happened(client: EngineClient) -> Iterator[Happening]:
    """What the engine still knows, oldest first (SystemEvents); Docker keeps the last 256 in memory."""
    query: dict[str, Any] = {"since": "0", "until": f"{time.time():.9f}", "filters": {"type": ["container"]}}
    if client.kind == "podman":
        # It goes on for ever unless told not to, and knows whole seconds alone.
        query |= {"since": "1", "until": str(int(time.time()) + 1), "stream": False}
    for event in lines(client.streamed("GET", "/events", query=query)):
        actor = event.get("Actor") or {}
        marks = actor.get("Attributes") or {}
        action, _, detail = str(event.get("Action") or event.get("status") or "").partition(":")
        action = _PODMANS.get(action, action)
        if action not in _TOLD:
            continue
        nanoseconds = int(event.get("timeNano") or int(event.get("time") or 0) * 10**9)
        when = datetime.fromtimestamp(nanoseconds / 10**9, UTC)
        yield when, str(marks.get(labels.PROJECT) or ""), str(marks.get("name") or ""), action, _detail(detail, marks)


def _detail(said: str, marks: Mapping[str, Any]) -> str:
    for key, text in (("exitCode", "exit code {}"), ("signal", "signal {}"), ("oldName", "was {}")):
        if marks.get(key):
            return text.format(str(marks[key]).lstrip("/"))
    return said.strip()
