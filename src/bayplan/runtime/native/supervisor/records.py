"""What the supervisor reads and writes of the core's records.

Its writes name the very run they speak of, so that they miss, and do no harm, when a change has come between.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from bayplan.runtime.native.state import happenings
from bayplan.runtime.native.state.database import Database
from bayplan.runtime.native.supervisor.place import Roots
from bayplan.runtime.native.supervisor.policy import Policy
from bayplan.system.processes import Process, boot_id
from bayplan.values import frozen

_RUNS = """
    SELECT c.id, c.name, c.declared, c.pid, c.pid_start, c.exit_code, c.finished_at, c.restarts,
    h.status AS health, h.failing_streak AS streak, EXISTS (SELECT 1 FROM ports a JOIN ports b
    ON a.host_ip = b.host_ip AND a.published = b.published AND a.protocol = b.protocol
    AND a.container_id != b.container_id WHERE a.container_id = c.id) AS shares
    FROM containers c LEFT JOIN health h ON h.container_id = c.id
    WHERE c.wanted = 'running' AND c.phase = 'created' AND c.superseded_by IS NULL AND c.started_at IS NOT NULL
    AND c.boot_id = ?
"""
"""Containers that should run. Those of another boot are an apply's: their networks are gone too."""
OUTPUT_BYTES = 4096
Key = tuple[str, int | None, int | None]
"""What tells one run of a container from another: its id, and pid and start time of its first process."""


@frozen
class Run:
    """One run of a container that should be running, as recorded. ``health`` is None when it has no check."""

    id: str
    name: str
    declared: str
    pid: int | None
    pid_start: int | None
    exit_code: int | None
    finished: bool
    restarts: int
    health: str | None
    streak: int
    shares: bool = False
    """Whether it shares a published port with its replicas."""

    @property
    def process(self) -> Process | None:
        """Its first process; None when it has ended."""
        if self.pid is None or not self.pid_start:
            return None
        process = Process(self.pid, self.pid_start)
        return process if process.alive else None

    @property
    def key(self) -> tuple[str, int | None, int | None]:
        """What tells this run from an earlier or a later one."""
        return self.id, self.pid, self.pid_start


def runs(database: Database) -> list[Run]:
    """Every container that should run."""
    return [
        Run(
            row["id"],
            row["name"],
            row["declared"],
            row["pid"],
            row["pid_start"],
            row["exit_code"],
            row["finished_at"] is not None,
            row["restarts"],
            row["health"],
            row["streak"] or 0,
            bool(row["shares"]),
        )
        for row in database.query(_RUNS, (boot_id(),))
    ]


def needs_watch(run: Run, roots: Roots) -> bool:
    """Whether somebody must watch it: it is checked, it will be started again, or its log is to be cut."""
    declared = json.loads(run.declared)
    policy = Policy.of(declared)
    cut = log_limits(declared, roots) is not None
    if run.process:
        return policy.restarts or run.health is not None or run.shares or cut
    if not policy.restarts and run.health is None and not cut:
        return False
    code = run.exit_code
    if code is None and not run.finished:
        code = exit_file(roots, run.id)
    return policy.again(code, run.restarts)


def log_limits(declared: Mapping[str, Any], roots: Roots) -> tuple[int, int] | None:
    """Bytes at which its log is cut and how many files stay; None when it is never cut, or is no file."""
    kept = declared.get("logging") or {}
    if kept.get("driver", "k8s-file") != "k8s-file":
        return None
    size = kept.get("max_size") or roots.log_max_size
    return None if size is None else (int(size), int(kept.get("max_file") or roots.log_max_file))


def exit_file(roots: Roots, container_id: str) -> int | None:
    """The exit code that the monitor wrote; None when it has not."""
    try:
        text = _exit_file(roots, container_id).read_text().strip()
    except OSError:
        return None
    return int(text) if text else None


def ended_at(roots: Roots, container_id: str) -> str:
    """When the monitor wrote it: the time of the end, whenever that is noticed. Now, when it has not."""
    try:
        written = _exit_file(roots, container_id).stat().st_mtime
    except OSError:
        return _now()
    return datetime.fromtimestamp(written, UTC).isoformat()


def _exit_file(roots: Roots, container_id: str) -> Path:
    return roots.run_root / "containers" / container_id / "exit" / container_id


def image_check(database: Database, container_id: str) -> Mapping[str, Any] | None:
    """The health check of its image, in the model's JSON form."""
    rows = database.query("SELECT facts FROM bundles WHERE container_id = ?", (container_id,))
    found: Mapping[str, Any] | None = json.loads(rows[0]["facts"]).get("healthcheck") if rows else None
    return found


def note_end(database: Database, key: Key, exit_code: int | None, *, at: str, oom_killed: bool = False) -> str:
    """Record how a run ended, and when, unless that is recorded; gives the time.

    Not before its begin: that is noted a moment late, and a run may have ended by then.
    """
    with database.transaction() as tx:
        done = tx.execute(
            "UPDATE containers SET exit_code = ?, finished_at = max(?, ifnull(started_at, ''))"
            " WHERE id = ? AND pid IS ? AND pid_start IS ? AND finished_at IS NULL RETURNING finished_at",
            (exit_code, at, *key),
        ).fetchall()
    if not done:
        return at
    noted = str(done[0]["finished_at"])
    note_death(database, key[0], exit_code, at=noted, oom_killed=oom_killed)
    return noted


def note_death(
    database: Database, container_id: str, exit_code: int | None, *, at: str | None = None, oom_killed: bool = False
) -> None:
    """Tell of an end that is recorded."""
    if oom_killed:
        happenings.note(database, container_id, "oom", at=at)
    detail = "" if exit_code is None else f"exit code {exit_code}"
    happenings.note(database, container_id, "die", detail, at=at)


def begin_health(tx: Connection, container_id: str, *, checked: bool) -> None:
    """Forget earlier results; ``checked`` says whether there is a check whose results are awaited."""
    tx.execute("DELETE FROM health WHERE container_id = ?", (container_id,))
    if checked:
        tx.execute("INSERT INTO health VALUES (?, 'starting', 0, '', ?)", (container_id, _now()))


def note_health(database: Database, key: Key, status: str, streak: int, output: bytes, *, declared: str) -> None:
    """Record one result of this run's check, with the first 4 KiB of what it said.

    ``declared`` is the declaration that the check is of: one that was changed meanwhile awaits results of its own.
    """
    text = output[:OUTPUT_BYTES].decode(errors="replace")
    with database.transaction() as tx:
        before = tx.execute("SELECT status FROM health WHERE container_id = ?", (key[0],)).fetchone()
        tx.execute(
            "UPDATE health SET status = ?, failing_streak = ?, last_output = ?, checked_at = ?"
            " WHERE container_id IN"
            " (SELECT id FROM containers WHERE id = ? AND pid IS ? AND pid_start IS ? AND declared = ?)",
            (status, streak, text, _now(), *key, declared),
        )
    if before is not None and before["status"] != status:
        happenings.note(database, key[0], "health_status", status)


def _now() -> str:
    return datetime.now(UTC).isoformat()
