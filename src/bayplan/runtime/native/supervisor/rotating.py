"""Logs cut when they have grown to their size."""

from __future__ import annotations

import time
from functools import partial

from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.containers.rotation import rotate
from bayplan.runtime.native.supervisor.shared import Shared
from bayplan.runtime.native.supervisor.watch import NEVER, Watch

_LONGEST_S, _SHORTEST_S = 2.0, 0.05


class Rotating:
    """Looks at the logs of all that is watched. ``due`` is when it wants to do so."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.due = 0.0

    def hurry(self, moment: float) -> None:
        """Look by then, if there is a log to be cut."""
        if any(watch.log_limits for watch in self._shared.watches.values()):
            self.due = min(self.due, moment)

    def cut(self) -> None:
        """Cut those that have grown."""
        self.due = NEVER
        for watch in self._shared.watches.values():
            if watch.log_limits is not None:
                self._shared.tried(partial(self._cut, watch, *watch.log_limits))
                self.due = min(self.due, time.monotonic() + watch.rotate_s)

    def _cut(self, watch: Watch, size: int, count: int) -> None:
        paths = Paths.of(self._shared.place, watch.run.id)
        again = rotate(paths.log, paths.control, size, count, told=watch.told_to_reopen)
        watch.told_to_reopen = not paths.log.exists()
        # One that has just been cut may fill up fast: looked at soon, so that it is not far over its size then.
        watch.rotate_s = max(watch.rotate_s / 4, _SHORTEST_S) if again else min(watch.rotate_s * 2, _LONGEST_S)
