"""Waits for ends, results and times, and acts. Holds no lock and knows nothing that the records do not say."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from bayplan.errors import BayplanError
from bayplan.runtime.native.containers.oci import OciRuntime
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.containers.rotation import rotate
from bayplan.runtime.native.networks.balance import Balance
from bayplan.runtime.native.networks.firewall import Firewall
from bayplan.runtime.native.state.database import Database
from bayplan.runtime.native.supervisor.check import RunningCheck, end_left
from bayplan.runtime.native.supervisor.helper import Answer, Helper
from bayplan.runtime.native.supervisor.place import Files, Place
from bayplan.runtime.native.supervisor.policy import Policy, pause_s
from bayplan.runtime.native.supervisor.records import (
    Run,
    exit_file,
    needs_watch,
    note_end,
    note_health,
    runs,
)
from bayplan.runtime.native.supervisor.watch import NEVER, Watch
from bayplan.system import cgroups, freezer

_LOOK_S = 60.0  # records are read this often even when nobody says that they changed
_SETTLE_S = 0.02  # changes come in crowds: one look for all of them
_LINGER_S = 2.0  # a change may stop the last container only to start another
_EXIT_CODE_S = 2.0  # the monitor writes the exit file a moment after the end; a killed one never does
_BUSY_S = 0.25  # between tries while a change holds the host
_HELPER_IDLE_S = 10.0
_SOON_S = 1.0
_CHECKS_AT_ONCE = 8
_TRY_AGAIN_S = 1.0
_PAUSED_S = 1.0
_ROTATE_S, _ROTATE_SOON_S = 2.0, 0.05

Act = Callable[[], None]


class Supervisor:
    """One core's supervisor. ``ending`` makes ``run`` return soon."""

    def __init__(self, place: Place, database: Database, say: Callable[[str], None]) -> None:
        self.place, self.database, self.say = place, database, say
        self.runtime = OciRuntime(place)
        self.files = Files.of(place)
        self.ending = False
        self._records = self._file_of_records()
        self.watches: dict[str, Watch] = {}
        self.pauses: dict[str, float] = {}
        self.helper: Helper | None = None
        self.helper_until = NEVER
        self.look_at = self.rotate_at = 0.0
        self.end_at = NEVER
        self.selector = selectors.DefaultSelector()
        # Read and write, so that it never reads as closed when the last writer goes.
        self._wake = os.open(self.files.wake, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._on(self._wake, self._woken)

    def run(self) -> None:
        """Until no container has needed it for a while, or ``ending``."""
        self.look_at, self.end_at = 0.0, NEVER
        while not self.ending:
            now = time.monotonic()
            if now >= self.look_at:
                self._tried(self._look)
            for watch in [item for item in self.watches.values() if item.due <= now]:
                if not self._tried(partial(self._act, watch)):
                    watch.put_off(now + _TRY_AGAIN_S)
            if now >= self.helper_until:
                self._end_helper()
            if now >= self.end_at:
                return
            if now >= self.rotate_at:
                self._rotate()
            due = [
                self.rotate_at,
                self.look_at,
                self.end_at,
                self.helper_until,
                *(item.due for item in self.watches.values()),
            ]
            for key, _ in self.selector.select(max(0.0, min(due) - time.monotonic())):
                if self.selector.get_map().get(key.fd) is key:  # not freed by an earlier one of these events
                    self._tried(key.data)

    def _rotate(self) -> None:
        """Cut the logs that have grown to their size."""
        self.rotate_at = NEVER
        for watch in self.watches.values():
            if watch.log_limits is not None:
                self._tried(partial(self._cut, watch, *watch.log_limits))
                self.rotate_at = min(self.rotate_at, time.monotonic() + watch.rotate_s)

    def _cut(self, watch: Watch, size: int, count: int) -> None:
        paths = Paths.of(self.place, watch.run.id)
        again = rotate(paths.log, paths.control, size, count, told=watch.told_to_reopen)
        watch.told_to_reopen = not paths.log.exists()
        # One that has just been cut may fill up fast: looked at soon, so that it is not far over its size then.
        watch.rotate_s = max(watch.rotate_s / 4, _ROTATE_SOON_S) if again else min(watch.rotate_s * 2, _ROTATE_S)

    def close(self) -> None:
        """Free everything; a restart that is under way comes to its end."""
        for watch in list(self.watches.values()):
            self._drop(watch)
        self._end_helper()
        self.selector.close()
        os.close(self._wake)

    # -- records -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Bring the watches up to what is recorded."""
        now = time.monotonic()
        self.look_at = now + _LOOK_S
        if self._file_of_records() != self._records:  # the core was removed, or its records were brought back
            self.ending = True
            return
        found = {run.id: run for run in runs(self.database) if needs_watch(run, self.place)}
        for watch in list(self.watches.values()):
            run = found.get(watch.run.id)
            if run is None or run.key != watch.run.key:
                self._drop(watch)
        for run in found.values():
            self._tried(partial(self._keep, run, now))
        if any(watch.log_limits for watch in self.watches.values()):
            self.rotate_at = min(self.rotate_at, now)
        for gone in self.pauses.keys() - found.keys():
            del self.pauses[gone]
        if any(watch.policy.restarts and watch.act_at < now + _SOON_S for watch in self.watches.values()):
            self._call_helper()  # it loads while the pause lasts
        self.end_at = NEVER if found else min(self.end_at, now + _LINGER_S)

    def _keep(self, run: Run, now: float) -> None:
        held = self.watches.get(run.id) or self._begin(run)
        held.read(run, self.database, now, self.place)

    def _file_of_records(self) -> int:
        """The inode of the record file; 0 when it is gone."""
        try:
            return os.stat(self.database.path).st_ino  # noqa: PTH116 - as elsewhere in the resident process
        except FileNotFoundError:
            return 0

    def _begin(self, run: Run) -> Watch:
        """Watch a run. Raises OSError; it is then not watched, and begun again at the next look."""
        watch = Watch(run, Policy(), pause_s=self.pauses.get(run.id, 0.0) if run.restarts else 0.0)
        process = run.process
        try:
            if process:
                end_left(Paths.of(self.place, run.id))
                with suppress(ProcessLookupError):
                    watch.pidfd = os.pidfd_open(process.pid)
            if watch.pidfd >= 0 and process and process.alive:
                self._on(watch.pidfd, lambda: self._ended(watch))
            else:
                self._ended(watch)
        except BaseException:
            self._drop(watch)
            raise
        self.watches[run.id] = watch
        return watch

    def _drop(self, watch: Watch) -> None:
        self._end_check(watch)
        if watch.pidfd >= 0:
            self._off(watch.pidfd)
            os.close(watch.pidfd)
            watch.pidfd = -1
        if self.watches.get(watch.run.id) is watch:
            del self.watches[watch.run.id]

    # -- ends and restarts -------------------------------------------------------------------------------------

    def _ended(self, watch: Watch) -> None:
        # First of all: the end is told once, and whatever goes wrong below must not leave it without its restart.
        watch.ended = time.monotonic()
        watch.pause_s = pause_s(watch.pause_s, watch.age_s)
        watch.act_at, watch.check_at = watch.ended + watch.pause_s, NEVER
        self.look_at = watch.ended  # one that a change stops is recorded so before it ends
        if watch.pidfd >= 0:
            self._off(watch.pidfd)
        self._end_check(watch)
        self._balance(watch)

    def _act(self, watch: Watch) -> None:
        now = time.monotonic()
        if watch.act_at <= now:
            self._after_end(watch, now)
        elif watch.running and watch.deadline <= now:
            self._timed_out(watch)
        elif watch.check_at <= now and not watch.running:
            self._check(watch, now)

    def _after_end(self, watch: Watch, now: float) -> None:
        """Its pause is over: record how it ended, and have it started again if its policy says so."""
        run = watch.run
        code = run.exit_code
        if code is None and not run.finished:
            code = exit_file(self.place, run.id)
            if code is None and now < watch.ended + _EXIT_CODE_S:
                watch.act_at = now + 0.05
                return
            killed = cgroups.was_oom_killed(Paths.of(self.place, run.id).cgroup)
            note_end(self.database, run.key, code, oom_killed=killed)
        if not watch.policy.again(code, run.restarts):
            watch.act_at, self.look_at = NEVER, now
            return
        self.pauses[run.id] = watch.pause_s
        asked = self._call_helper().ask(run.key)
        self.helper_until = NEVER
        watch.act_at = NEVER if asked else now + _BUSY_S

    def _call_helper(self) -> Helper:
        if self.helper is None:
            self.helper = Helper(self.files.settings)
            self._on(self.helper.output_fd, self._answered)
            self.helper_until = time.monotonic() + _HELPER_IDLE_S
        return self.helper

    def _answered(self) -> None:
        if self.helper is None:
            return
        answers = self.helper.answers()
        now = time.monotonic()
        if answers is None:
            self._helper_ended(now)
            return
        for answer in answers:
            self._take(answer, now)
        if not self.helper.asked:
            self.helper_until = now + _HELPER_IDLE_S

    def _take(self, answer: Answer, now: float) -> None:
        watch = self.watches.get(answer.key[0])
        name = watch.run.name if watch else answer.key[0][:12]
        self.look_at = now
        if answer.result == "started":
            self.say(f"{name}: started again after {self.pauses.get(answer.key[0], 0.0):g} s")
        if watch is None or watch.run.key != answer.key:
            return  # a later run is watched already
        if answer.result == "busy":
            watch.act_at, self.look_at = now + _BUSY_S, now + _BUSY_S
        elif answer.result == "failed":
            # A failed start is a run of no length; the record says how often it was tried.
            watch.pause_s = pause_s(watch.pause_s, 0.0)
            watch.act_at = now + watch.pause_s
            self.say(f"{name}: could not be started again: {answer.message}; next try in {watch.pause_s:g} s")
        else:
            self._drop(watch)  # what the record says now is looked at anew

    def _helper_ended(self, now: float) -> None:
        """It failed as a whole; what it was asked is tried again later."""
        assert self.helper is not None
        for key in self.helper.asked:
            watch = self.watches.get(key[0])
            if watch and watch.run.key == key:
                watch.pause_s = pause_s(watch.pause_s, 0.0)
                watch.act_at = now + watch.pause_s
        self._end_helper()

    def _end_helper(self) -> None:
        if self.helper:
            self._off(self.helper.output_fd)
            self.helper.close()
        self.helper, self.helper_until = None, NEVER

    # -- health ------------------------------------------------------------------------------------------------

    def _check(self, watch: Watch, now: float) -> None:
        course = watch.course
        if course is None:
            return
        if freezer.is_frozen(Paths.of(self.place, watch.run.id).cgroup):
            watch.check_at = now + _PAUSED_S  # it would hang, and what is paused has no health to lose
            return
        if sum(1 for item in self.watches.values() if item.running) >= _CHECKS_AT_ONCE:
            watch.check_at = now + 0.05
            return
        try:
            running = RunningCheck(self.runtime, watch.run.id, Paths.of(self.place, watch.run.id), course.check)
        except OSError as error:
            self._result(watch, passed=False, output=str(error).encode())
            return
        watch.running, watch.deadline = running, now + course.check.timeout_s
        self._on(running.output_fd, lambda: self._output(running))
        self._on(running.process_fd, lambda: self._checked(watch))

    def _output(self, running: RunningCheck) -> None:
        if not running.read():
            self._off(running.output_fd)

    def _checked(self, watch: Watch) -> None:
        running = self._take_check(watch)
        if running:
            code = running.finish()
            self._result(watch, passed=code == 0, output=running.output)

    def _timed_out(self, watch: Watch) -> None:
        running = self._take_check(watch)
        if running is None:
            return
        running.read()
        running.kill()
        if watch.course:
            text = f"health check exceeded its timeout of {watch.course.check.timeout_s:g} s\n"
            self._result(watch, passed=False, output=text.encode() + running.output)

    def _result(self, watch: Watch, *, passed: bool, output: bytes) -> None:
        course = watch.course
        if course is None or watch.run.process is None:  # a check that fails because the container ends is no result
            return
        before = course.status
        course.note(passed, watch.age_s)
        watch.check_at = time.monotonic() + course.pause_s(watch.age_s)
        note_health(self.database, watch.run.key, course.status, course.streak, output)
        if course.status != before:
            self._balance(watch)
            self.say(f"{watch.run.name}: {course.status}")

    def _end_check(self, watch: Watch) -> None:
        running = self._take_check(watch)
        if running:
            running.kill()

    def _take_check(self, watch: Watch) -> RunningCheck | None:
        running, watch.running, watch.deadline = watch.running, None, NEVER
        if running:
            self._off(running.output_fd)
            self._off(running.process_fd)
        return running

    def _balance(self, watch: Watch) -> None:
        """Have the ports that it shares lead to those that can answer now."""
        if not watch.run.shares:
            return
        balance = Balance(
            self.place.state_root, Firewall(self.place.nft_table, self.place.interface_prefix), self.database
        )
        try:
            balance.settle(balance.shared(watch.run.id))
        except BayplanError as error:
            self.say(f"{watch.run.name}: its shared ports: {error}")

    # -- waiting -----------------------------------------------------------------------------------------------

    def _woken(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake, 65536)
        self.look_at = min(self.look_at, time.monotonic() + _SETTLE_S)

    def _on(self, fd: int, act: Act) -> None:
        self.selector.register(fd, selectors.EVENT_READ, act)

    def _off(self, fd: int) -> None:
        with suppress(KeyError):
            self.selector.unregister(fd)

    def _tried(self, act: Act) -> bool:
        """A record that is busy or damaged, a file that is gone, must not end the watch over all the others."""
        try:
            act()
        except (BayplanError, OSError, RuntimeError, ValueError) as error:  # RuntimeError: no thread can be started
            self.say(f"{type(error).__name__}: {error}")
            self.look_at = min(self.look_at, time.monotonic() + _TRY_AGAIN_S)
            return False
        return True
