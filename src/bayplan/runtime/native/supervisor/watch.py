"""One run of a container under watch: its process, its restart, its health."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from bayplan.runtime.native.state.database import Database
from bayplan.runtime.native.supervisor.check import RunningCheck
from bayplan.runtime.native.supervisor.place import Roots
from bayplan.runtime.native.supervisor.policy import Policy
from bayplan.runtime.native.supervisor.records import Run, image_check, log_limits
from bayplan.runtime.native.supervisor.schedule import STARTING, Check, Course, age_s

NEVER = float("inf")


@dataclass
class Watch:
    """What the loop knows of one run. Times are of ``time.monotonic``; ``NEVER`` is no time."""

    run: Run
    policy: Policy
    course: Course | None = None
    pidfd: int = -1
    ended: float = NEVER
    """When its end was noticed."""
    act_at: float = NEVER
    """When an ended one is to be looked at: its exit code read, or started again."""
    pause_s: float = 0.0
    """The pause before this run, then the one after it."""
    check_at: float = NEVER
    deadline: float = NEVER
    """When the check that runs is killed."""
    running: RunningCheck | None = field(default=None, repr=False)
    log_limits: tuple[int, int] | None = None
    """Bytes at which its log is cut and how many files stay."""
    told_to_reopen: bool = False
    """Its monitor was told to begin a new log, and has not yet done so."""
    rotate_s: float = 2.0
    """Seconds between two looks at its log."""
    declared: str = field(default="", repr=False)
    """The declaration that policy and check were read from."""

    def read(self, run: Run, database: Database, now: float, roots: Roots) -> None:
        """Take in the record, which may have a new declaration."""
        self.run = run
        if run.declared == self.declared:
            return
        self.declared = run.declared
        declared = json.loads(run.declared)
        self.policy = Policy.of(declared)
        self.log_limits = log_limits(declared, roots)
        check = None if run.health is None else Check.of(declared["healthcheck"], image_check(database, run.id))
        if check is None:
            self.course, self.check_at = None, NEVER
        elif self.course is None or self.course.check != check:
            self.course = Course(check, run.health or STARTING, run.streak)
            # A verdict that is there already came from the change that waited for it, or from an earlier supervisor.
            self.check_at = now if run.health == STARTING else now + check.interval_s

    def put_off(self, moment: float) -> None:
        """Do nothing of it before then."""
        self.act_at, self.check_at, self.deadline = (
            max(when, moment) for when in (self.act_at, self.check_at, self.deadline)
        )

    @property
    def age_s(self) -> float:
        """Seconds since the container's start."""
        return age_s(self.run.pid_start)

    @property
    def due(self) -> float:
        """When something of it wants to be done."""
        return min(self.act_at, self.deadline if self.running else self.check_at)
