"""Ended containers: how each ended is recorded, and what is to run again is asked of the helper."""

from __future__ import annotations

import time
from collections.abc import Callable

from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.supervisor.helper import Answer, Helper
from bayplan.runtime.native.supervisor.place import Files
from bayplan.runtime.native.supervisor.policy import pause_s
from bayplan.runtime.native.supervisor.records import ended_at, exit_file, note_end
from bayplan.runtime.native.supervisor.shared import Shared
from bayplan.runtime.native.supervisor.watch import NEVER, Watch
from bayplan.system import cgroups

_EXIT_CODE_S = 2.0  # the monitor writes the exit file a moment after the end; a killed one never does
_BUSY_S = 0.25  # between tries while a change holds the host
_IDLE_S = 10.0
_SOON_S = 1.0


class Restarting:
    """The restarts of all that is watched. ``due`` is when the helper is to end; ``drop`` lets go of a watch.

    ``pauses`` are those before the last restart of each container, by its id.
    """

    def __init__(self, shared: Shared, drop: Callable[[Watch], None]) -> None:
        self._shared, self._drop = shared, drop
        self.pauses: dict[str, float] = {}
        self._helper: Helper | None = None
        self.due = NEVER

    def act(self, watch: Watch, now: float) -> None:
        """Its pause is over: record how it ended, and have it started again if its policy says so."""
        shared, run = self._shared, watch.run
        code = run.exit_code
        if code is None and not run.finished:
            code = exit_file(shared.place, run.id)
            if code is None and now < watch.ended + _EXIT_CODE_S:
                watch.act_at = now + 0.05
                return
            killed = cgroups.was_oom_killed(Paths.of(shared.place, run.id).cgroup)
            note_end(shared.database, run.key, code, at=ended_at(shared.place, run.id), oom_killed=killed)
        if not watch.policy.again(code, run.restarts):
            watch.act_at, shared.look_at = NEVER, now
            return
        self.pauses[run.id] = watch.pause_s
        asked = self._called().ask(run.key)
        self.due = NEVER
        watch.act_at = NEVER if asked else now + _BUSY_S

    def prepare(self, now: float) -> None:
        """Have the helper load while a pause lasts."""
        watches = self._shared.watches.values()
        if any(watch.policy.restarts and watch.act_at < now + _SOON_S for watch in watches):
            self._called()

    def end_helper(self) -> None:
        """Let it end; a restart that is under way comes to its end."""
        if self._helper:
            self._shared.off(self._helper.output_fd)
            self._helper.close()
        self._helper, self.due = None, NEVER

    def _called(self) -> Helper:
        if self._helper is None:
            self._helper = Helper(Files.of(self._shared.place).settings)
            self._shared.on(self._helper.output_fd, self._answered)
            self.due = time.monotonic() + _IDLE_S
        return self._helper

    def _answered(self) -> None:
        if self._helper is None:
            return
        answers = self._helper.answers()
        now = time.monotonic()
        if answers is None:
            self._helper_ended(self._helper, now)
            return
        for answer in answers:
            self._take(answer, now)
        if not self._helper.asked:
            self.due = now + _IDLE_S

    def _take(self, answer: Answer, now: float) -> None:
        shared = self._shared
        watch = shared.watches.get(answer.key[0])
        name = watch.run.name if watch else answer.key[0][:12]
        shared.look_at = now
        if answer.result == "started":
            shared.say(f"{name}: started again after {self.pauses.get(answer.key[0], 0.0):g} s")
        if watch is None or watch.run.key != answer.key:
            return  # a later run is watched already
        if answer.result == "busy":
            watch.act_at, shared.look_at = now + _BUSY_S, now + _BUSY_S
        elif answer.result == "failed":
            # A failed start is a run of no length; the record says how often it was tried.
            watch.pause_s = pause_s(watch.pause_s, 0.0)
            watch.act_at = now + watch.pause_s
            shared.say(f"{name}: could not be started again: {answer.message}; next try in {watch.pause_s:g} s")
        else:
            self._drop(watch)  # what the record says now is looked at anew

    def _helper_ended(self, helper: Helper, now: float) -> None:
        """It failed as a whole; what it was asked is tried again later."""
        for key in helper.asked:
            watch = self._shared.watches.get(key[0])
            if watch and watch.run.key == key:
                watch.pause_s = pause_s(watch.pause_s, 0.0)
                watch.act_at = now + watch.pause_s
        self.end_helper()
