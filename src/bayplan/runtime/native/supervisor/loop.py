"""Waits for ends, results and times, and acts. Holds no lock and knows nothing that the records do not say."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from bayplan.errors import BayplanError
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.networks.balance import Balance
from bayplan.runtime.native.networks.firewall import Firewall
from bayplan.runtime.native.state.database import Database
from bayplan.runtime.native.supervisor.check import end_left
from bayplan.runtime.native.supervisor.checking import Checking
from bayplan.runtime.native.supervisor.place import Files, Place
from bayplan.runtime.native.supervisor.policy import Policy, pause_s
from bayplan.runtime.native.supervisor.records import Run, needs_watch, runs
from bayplan.runtime.native.supervisor.restarting import Restarting
from bayplan.runtime.native.supervisor.rotating import Rotating
from bayplan.runtime.native.supervisor.shared import TRY_AGAIN_S, Shared
from bayplan.runtime.native.supervisor.watch import NEVER, Watch

_LOOK_S = 60.0  # records are read this often even when nobody says that they changed
_SETTLE_S = 0.02  # changes come in crowds: one look for all of them
_LINGER_S = 2.0  # a change may stop the last container only to start another


class Supervisor:
    """One core's supervisor. ``ending`` makes ``run`` return soon."""

    def __init__(self, place: Place, database: Database, say: Callable[[str], None]) -> None:
        self.shared = Shared(place, database, say)
        self.checking = Checking(self.shared, self._balance)
        self.restarting = Restarting(self.shared, self._drop)
        self.rotating = Rotating(self.shared)
        self.ending = False
        self._records = self._file_of_records()
        self._end_at = NEVER
        # Read and write, so that it never reads as closed when the last writer goes.
        self._wake = os.open(Files.of(place).wake, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.shared.on(self._wake, self._woken)

    def run(self) -> None:
        """Until no container has needed it for a while, or ``ending``."""
        shared = self.shared
        shared.look_at, self._end_at = 0.0, NEVER
        while not self.ending:
            now = time.monotonic()
            if now >= shared.look_at:
                shared.tried(self._look)
            for watch in [item for item in shared.watches.values() if item.due <= now]:
                if not shared.tried(partial(self._act, watch)):
                    watch.put_off(now + TRY_AGAIN_S)
            if now >= self.restarting.due:
                self.restarting.end_helper()
            if now >= self._end_at:
                return
            if now >= self.rotating.due:
                self.rotating.cut()
            own = (shared.look_at, self._end_at, self.rotating.due, self.restarting.due)
            shared.wait(min((*own, *(item.due for item in shared.watches.values()))))

    def close(self) -> None:
        """Free everything; a restart that is under way comes to its end."""
        for watch in list(self.shared.watches.values()):
            self._drop(watch)
        self.restarting.end_helper()
        self.shared.selector.close()
        os.close(self._wake)

    # -- records -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Bring the watches up to what is recorded."""
        shared, now = self.shared, time.monotonic()
        shared.look_at = now + _LOOK_S
        if self._file_of_records() != self._records:  # the core was removed, or its records were brought back
            self.ending = True
            return
        found = {run.id: run for run in runs(shared.database) if needs_watch(run, shared.place)}
        for watch in list(shared.watches.values()):
            run = found.get(watch.run.id)
            if run is None or run.key != watch.run.key:
                self._drop(watch)
        for run in found.values():
            shared.tried(partial(self._keep, run, now))
        self.rotating.hurry(now)
        for gone in self.restarting.pauses.keys() - found.keys():
            del self.restarting.pauses[gone]
        self.restarting.prepare(now)
        self._end_at = NEVER if found else min(self._end_at, now + _LINGER_S)

    def _keep(self, run: Run, now: float) -> None:
        held = self.shared.watches.get(run.id) or self._begin(run)
        held.read(run, self.shared.database, now, self.shared.place)

    def _file_of_records(self) -> int:
        """The inode of the record file; 0 when it is gone."""
        try:
            return os.stat(self.shared.database.path).st_ino  # noqa: PTH116 - as elsewhere in the resident process
        except FileNotFoundError:
            return 0

    def _begin(self, run: Run) -> Watch:
        """Watch a run. Raises OSError; it is then not watched, and begun again at the next look."""
        watch = Watch(run, Policy(), pause_s=self.restarting.pauses.get(run.id, 0.0) if run.restarts else 0.0)
        process = run.process
        try:
            if process:
                end_left(Paths.of(self.shared.place, run.id))
                with suppress(ProcessLookupError):
                    watch.pidfd = os.pidfd_open(process.pid)
            if watch.pidfd >= 0 and process and process.alive:
                self.shared.on(watch.pidfd, lambda: self._ended(watch))
            else:
                self._ended(watch)
        except BaseException:
            self._drop(watch)
            raise
        self.shared.watches[run.id] = watch
        return watch

    def _drop(self, watch: Watch) -> None:
        self.checking.end(watch)
        if watch.pidfd >= 0:
            self.shared.off(watch.pidfd)
            os.close(watch.pidfd)
            watch.pidfd = -1
        if self.shared.watches.get(watch.run.id) is watch:
            del self.shared.watches[watch.run.id]

    # -- events ------------------------------------------------------------------------------------------------

    def _act(self, watch: Watch) -> None:
        now = time.monotonic()
        if watch.act_at <= now:
            self.restarting.act(watch, now)
        else:
            self.checking.act(watch, now)

    def _ended(self, watch: Watch) -> None:
        # First of all: the end is told once, and whatever goes wrong below must not leave it without its restart.
        watch.ended = time.monotonic()
        watch.pause_s = pause_s(watch.pause_s, watch.age_s)
        watch.act_at, watch.check_at = watch.ended + watch.pause_s, NEVER
        self.shared.look_at = watch.ended  # one that a change stops is recorded so before it ends
        if watch.pidfd >= 0:
            self.shared.off(watch.pidfd)
        self.checking.end(watch)
        self._balance(watch)

    def _balance(self, watch: Watch) -> None:
        """Have the ports that it shares lead to those that can answer now."""
        if not watch.run.shares:
            return
        place, database = self.shared.place, self.shared.database
        balance = Balance(place.state_root, Firewall(place.nft_table, place.interface_prefix), database)
        try:
            balance.settle(balance.shared(watch.run.id))
        except BayplanError as error:
            self.shared.say(f"{watch.run.name}: its shared ports: {error}")

    def _woken(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake, 65536)
        self.shared.look_at = min(self.shared.look_at, time.monotonic() + _SETTLE_S)
