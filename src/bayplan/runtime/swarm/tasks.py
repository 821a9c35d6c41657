"""Tasks: what they are called, and why those that do not run do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bayplan.runtime.engine_api.status import moment

Entry = Mapping[str, Any]
FAILED = frozenset({"failed", "rejected"})
_NO_NODE = "no suitable node"


def state(task: Entry) -> str:
    """``new``, ``pending``, ``preparing``, ``running``, ``failed`` ... (SwarmKit, "TaskState")."""
    return str(task["Status"]["State"])


def wanted(task: Entry) -> bool:
    """Whether the swarm means it to run."""
    return task.get("DesiredState") in ("ready", "running")


def slot(task: Entry) -> str:
    """Its number in a replicated service, its node in a global one; successors have the same."""
    return str(task["Slot"]) if task.get("Slot") else str(task.get("NodeID", ""))


def failed(tasks: Sequence[Entry], since: str = "") -> list[Entry]:
    """Those that ended as they should not have, newest first; ``since`` is a time of the API."""
    begin = moment(since)
    found = [task for task in tasks if state(task) in FAILED and (begin is None or _ended(task) >= begin)]
    return sorted(found, key=_ended, reverse=True)


def _ended(task: Entry) -> datetime:
    return moment(str(task["Status"].get("Timestamp", ""))) or datetime.fromtimestamp(0, UTC)


def homeless(tasks: Sequence[Entry]) -> list[Entry]:
    """Those for which the swarm finds no node."""
    return [task for task in tasks if wanted(task) and state(task) == "pending" and _NO_NODE in _why(task)]


def reasons(tasks: Sequence[Entry], nodes: Mapping[str, str] | None = None, most: int = 3) -> list[str]:
    """Why tasks do not run, each reason once, the newest first."""
    found = dict.fromkeys(_sentence(task, nodes or {}) for task in (*homeless(tasks), *failed(tasks)))
    return list(found)[:most]


def _sentence(task: Entry, nodes: Mapping[str, str]) -> str:
    where = nodes.get(str(task.get("NodeID", "")), "")
    code = (task["Status"].get("ContainerStatus") or {}).get("ExitCode")
    why = _why(task) or state(task)
    if code and "exit" not in why:
        why = f"{why} (exit code {code})"
    return f"{why} (on {where})" if where else why


def _why(task: Entry) -> str:
    return str(task["Status"].get("Err") or "").strip().removeprefix("starting container failed: ")
