"""What the parts of one supervisor share: the records, the watches, and what they wait for."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from bayplan.errors import BayplanError
from bayplan.runtime.native.state.database import Database
from bayplan.runtime.native.supervisor.place import Place
from bayplan.runtime.native.supervisor.watch import Watch

TRY_AGAIN_S = 1.0
Act = Callable[[], None]


@dataclass
class Shared:
    """One for each supervisor. ``look_at`` is when the records are read next."""

    place: Place
    database: Database
    say: Callable[[str], None]
    watches: dict[str, Watch] = field(default_factory=dict)
    look_at: float = 0.0
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def on(self, fd: int, act: Act) -> None:
        """Do that whenever the descriptor can be read."""
        self.selector.register(fd, selectors.EVENT_READ, act)

    def off(self, fd: int) -> None:
        """No longer; one that is not watched is no error."""
        with suppress(KeyError):
            self.selector.unregister(fd)

    def wait(self, until: float) -> None:
        """Sleep until then or until something can be read, and do what belongs to that."""
        for key, _ in self.selector.select(max(0.0, until - time.monotonic())):
            if self.selector.get_map().get(key.fd) is key:  # not freed by an earlier one of these events
                self.tried(key.data)

    def tried(self, act: Act) -> bool:
        """A record that is busy or damaged, a file that is gone, must not end the watch over all the others."""
        try:
            act()
        except (BayplanError, OSError, RuntimeError, ValueError) as error:  # RuntimeError: no thread can be started
            self.say(f"{type(error).__name__}: {error}")
            self.look_at = min(self.look_at, time.monotonic() + TRY_AGAIN_S)
            return False
        return True
