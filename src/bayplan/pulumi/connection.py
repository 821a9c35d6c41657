"""One connection to one host: a bridge there that answers many requests (``bayplan bridge --serve``).

A child process on this host as well. The core forks, enters namespaces and takes pydantic and netlink along: gRPC's
threads would be in its way, a crash of either would take the other with it, and the plugin would start later. So both
ways are one, and a plugin starts before anything of the engine is loaded.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from typing import Any

from bayplan.errors import StoppedError
from bayplan.pulumi.failures import RefusedError
from bayplan.pulumi.place import Place
from bayplan.pulumi.process import Bridge

_LOOKS = frozenset(("observed", "held", "stack_info", "generation"))
"""Verbs that are still asked after a stop: what there is has to be told."""


class Connection:
    """A bridge begun at the first request, and again at the next one after it has ended. Any thread may ask."""

    def __init__(self, place: Place, warn: Callable[[str], None]) -> None:
        self.place, self.warn = place, warn
        self._lock, self._numbers = threading.Lock(), itertools.count(1)
        self._process: Bridge | None = None
        self._is_stopped = False

    def ask(
        self,
        verb: str,
        options: Mapping[str, Any] | None = None,
        *,
        check: bool = False,
        timeout_s: float | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """The answer to one request.

        Raises RefusedError for a failure, UnavailableError when nobody is there, LostError when no answer comes.
        """
        if self._is_stopped and not check and verb not in _LOOKS:
            raise StoppedError(f"{verb} was not begun, as Pulumi was told to stop", hint="run it again to go on")
        request = {"verb": verb, "options": options or {}, "check": check, "settings": self.place.settings, **more}
        answer = self._begun().ask(next(self._numbers), request, timeout_s)
        for warning in (*answer.get("warnings", ()), *(answer.get("plan") or {}).get("warnings", ())):
            self.warn(str(warning))
        if answer.get("failed"):
            raise RefusedError.of(answer)
        return answer

    def stop(self) -> None:
        """What is under way ends between two steps, and no further change is begun."""
        self._is_stopped = True
        process = self._process  # without the lock: whoever has it may be waiting for a host
        if process is not None:
            process.send({"stop": True})

    def close(self) -> None:
        """End the bridge."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.close()

    def _begun(self) -> Bridge:
        with self._lock:
            if self._process is None or self._process.is_over:
                if self._process is not None:
                    self._process.close()
                self._process = Bridge(self.place)
            return self._process
