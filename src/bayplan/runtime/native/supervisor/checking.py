"""Health checks begun, ended, and what came of them noted."""

from __future__ import annotations

import time
from collections.abc import Callable

from bayplan.runtime.native.containers.oci import OciRuntime
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.supervisor.check import RunningCheck
from bayplan.runtime.native.supervisor.records import note_health
from bayplan.runtime.native.supervisor.shared import Shared
from bayplan.runtime.native.supervisor.watch import NEVER, Watch
from bayplan.system import freezer

_AT_ONCE = 8
_PAUSED_S = 1.0


class Checking:
    """The checks of all that is watched. ``changed`` is told of a watch whose verdict is another."""

    def __init__(self, shared: Shared, changed: Callable[[Watch], None]) -> None:
        self._shared, self._changed = shared, changed
        self._runtime = OciRuntime(shared.place)

    def act(self, watch: Watch, now: float) -> None:
        """Begin the check that is due, or end the one whose time is over."""
        if watch.running and watch.deadline <= now:
            self._timed_out(watch)
        elif watch.check_at <= now and not watch.running:
            self._begin(watch, now)

    def end(self, watch: Watch) -> None:
        """End the check that runs, if one does, without a result."""
        running = self._take(watch)
        if running:
            running.kill()

    def _begin(self, watch: Watch, now: float) -> None:
        course, paths = watch.course, Paths.of(self._shared.place, watch.run.id)
        if course is None:
            return
        if freezer.is_frozen(paths.cgroup):
            watch.check_at = now + _PAUSED_S  # it would hang, and what is paused has no health to lose
            return
        if sum(1 for item in self._shared.watches.values() if item.running) >= _AT_ONCE:
            watch.check_at = now + 0.05
            return
        try:
            running = RunningCheck(self._runtime, watch.run.id, paths, course.check)
        except OSError as error:
            self._result(watch, passed=False, output=str(error).encode())
            return
        watch.running, watch.deadline = running, now + course.check.timeout_s
        self._shared.on(running.output_fd, lambda: self._read(running))
        self._shared.on(running.process_fd, lambda: self._ended(watch))

    def _read(self, running: RunningCheck) -> None:
        if not running.read():
            self._shared.off(running.output_fd)

    def _ended(self, watch: Watch) -> None:
        running = self._take(watch)
        if running:
            code = running.finish()
            if _is_current(watch, running):
                self._result(watch, passed=code == 0, output=running.output)

    def _timed_out(self, watch: Watch) -> None:
        running = self._take(watch)
        if running is None:
            return
        running.read()
        running.kill()
        if watch.course and _is_current(watch, running):
            text = f"health check exceeded its timeout of {watch.course.check.timeout_s:g} s\n"
            self._result(watch, passed=False, output=text.encode() + running.output)

    def _result(self, watch: Watch, *, passed: bool, output: bytes) -> None:
        course = watch.course
        if course is None or watch.run.process is None:  # a check that fails because the container ends is no result
            return
        before = course.status
        course.note(passed, watch.age_s)
        watch.check_at = time.monotonic() + course.pause_s(watch.age_s)
        database, run = self._shared.database, watch.run
        note_health(database, run.key, course.status, course.streak, output, declared=run.declared)
        if course.status != before:
            self._changed(watch)
            self._shared.say(f"{watch.run.name}: {course.status}")

    def _take(self, watch: Watch) -> RunningCheck | None:
        running, watch.running, watch.deadline = watch.running, None, NEVER
        if running:
            self._shared.off(running.output_fd)
            self._shared.off(running.process_fd)
        return running


def _is_current(watch: Watch, running: RunningCheck) -> bool:
    """Whether what ran is still the check: an update in place may have declared another meanwhile."""
    return watch.course is not None and watch.course.check == running.check
