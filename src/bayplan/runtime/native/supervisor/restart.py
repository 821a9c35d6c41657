"""Starts ended containers again: ``python -m bayplan.runtime.native.supervisor.restart SETTINGS_FILE``.

Reads requests (``[id, pid, pid_start]``, one a line) and answers each. A restart is a change of the host, so it is done
under the host's lock, which is never waited for here; and only when the record still speaks of the same ended run: what
a change has stopped, replaced or started meanwhile is left alone.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayplan.errors import BayplanError, BusyError
from bayplan.models import Settings
from bayplan.runtime.native.runtime import NativeRuntime
from bayplan.runtime.native.supervisor.policy import Policy
from bayplan.system.files import locked
from bayplan.system.processes import Process, boot_id


def restart(runtime: NativeRuntime, container_id: str, pid: int | None, pid_start: int | None) -> dict[str, str]:
    """Start it again if it is still the one that ended so. Gives ``result`` and, of a failure, ``message``."""
    try:
        with locked(runtime.settings.lock_file, f"restart of container {container_id[:12]}", 0):
            rows = runtime.database.query("SELECT * FROM containers WHERE id = ?", (container_id,))
            if not rows or not _is_due(dict(rows[0]), pid, pid_start):
                return {"result": "moved"}
            return _start(runtime, dict(rows[0]))
    except BusyError:
        return {"result": "busy"}


def _is_due(row: Mapping[str, Any], pid: int | None, pid_start: int | None) -> bool:
    same = (row["pid"], row["pid_start"], row["boot_id"]) == (pid, pid_start, boot_id())
    wanted = row["wanted"] == "running" and row["phase"] == "created" and row["superseded_by"] is None
    if not same or not wanted or (pid is not None and pid_start and Process(pid, pid_start).alive):
        return False
    return Policy.of(json.loads(row["declared"])).again(row["exit_code"], row["restarts"])


def _start(runtime: NativeRuntime, row: Mapping[str, Any]) -> dict[str, str]:
    tried = row["restarts"] + 1
    try:
        runtime.restart(row["id"], tried)
    except (BayplanError, OSError) as error:
        # The record goes back to the run that ended: it waits for its next try, and is no new, never started one.
        kept = {name: row[name] for name in ("pid", "pid_start", "exit_code", "finished_at")}
        runtime.containers.records.set(row["id"], restarts=tried, **kept)
        return {"result": "failed", "message": f"{type(error).__name__}: {error}"}
    return {"result": "started"}


def main(settings_file: str) -> int:
    """Answer requests until the other side closes."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    settings = Settings.model_validate_json(Path(settings_file).read_text())
    runtime = NativeRuntime(settings)
    try:
        for line in sys.stdin:
            container_id, pid, pid_start = json.loads(line)
            done = {"key": [container_id, pid, pid_start], **restart(runtime, container_id, pid, pid_start)}
            print(json.dumps(done), flush=True)
    finally:
        runtime.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
