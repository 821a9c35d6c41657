"""When a health check runs, and what its results mean (Compose specification, "healthcheck"). Pure.

Times are seconds since the container's start, by a clock that nobody sets.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bayplan.values import frozen

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"
_UNIT_S = {"h": 3600.0, "m": 60.0, "s": 1.0}
_START_INTERVAL_S = 5.0  # Docker Engine 25: its default during the start period


def seconds(text: str) -> float:
    """A duration in the form in which declarations are recorded (``1h2m3.5s``)."""
    return sum(float(number) * _UNIT_S[unit] for number, unit in re.findall(r"([\d.]+)([hms])", text))


def age_s(start_ticks: int | None) -> float:
    """Seconds since a process's start (clock ticks after boot); 0 for one that was gone at once.

    By the clock of boot, which nobody sets: a clock that jumps makes no check due.
    """
    if not start_ticks:
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - start_ticks / os.sysconf("SC_CLK_TCK"))


def merged(declared: Mapping[str, Any] | None, image: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The declared check; what it leaves open is as the image has it (moby, "mergeHealthConfig"). None: there is none.

    One that declares times alone, over an image without a check, is none.
    """
    if not declared or not image:
        return declared if declared and declared.get("test") else image
    given = {name: value for name, value in declared.items() if value is not None and value not in ((), [])}
    return {**image, **given}


@frozen
class Check:
    """A health check with its times in seconds."""

    command: tuple[str, ...]
    interval_s: float = 30.0
    timeout_s: float = 30.0
    retries: int = 3
    start_period_s: float = 0.0
    start_interval_s: float | None = None

    @classmethod
    def of(cls, declared: Mapping[str, Any] | None, image: Mapping[str, Any] | None) -> Check | None:
        """The declared check over the image's, both in the model's JSON form; None when there is none."""
        found = merged(declared, image)
        if not found or found["test"][0] == "NONE":
            return None
        test = tuple(found["test"])
        times = {
            f"{name}_s": seconds(found[name])
            for name in ("interval", "timeout", "start_period", "start_interval")
            if found.get(name) is not None
        }
        command = test[1:] if test[0] == "CMD" else ("/bin/sh", "-c", test[1])
        return cls(command, retries=found.get("retries") or 3, **times)


@dataclass
class Course:
    """The verdict on one run of a container, result by result."""

    check: Check
    status: str = STARTING
    streak: int = 0
    """Failures in a row that count."""

    def note(self, passed: bool, age_s: float) -> None:
        """Take in one result of a check that ended ``age_s`` after the container's start.

        Failures count from the end of the start period, and not before one interval: the check that runs at once
        after the start is there to see a fast container early. The first success ends the start period.
        """
        if passed:
            self.status, self.streak = HEALTHY, 0
            return
        if self.status == STARTING and age_s < max(self.check.start_period_s, self.check.interval_s):
            return
        self.streak += 1
        if self.streak >= self.check.retries:
            self.status = UNHEALTHY

    def pause_s(self, age_s: float) -> float:
        """Time until the next check."""
        check = self.check
        if self.status == STARTING and age_s < check.start_period_s:
            return check.start_interval_s or min(check.interval_s, _START_INTERVAL_S)
        return check.interval_s
