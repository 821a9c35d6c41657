"""When an ended container is started again, and after what pause. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.values import frozen

FIRST_S = 0.1
LONGEST_S = 60.0
SETTLED_S = 10.0
"""A run of this length was no failed start: the next pause is the first one again."""


def pause_s(earlier_s: float, ran_s: float) -> float:
    """Seconds between an end and the next start; ``earlier_s`` is the pause before this run (0: none).

    Doubles from 100 ms to one minute (Docker, "Start containers automatically", restart policy details).
    """
    if earlier_s <= 0 or ran_s >= SETTLED_S:
        return FIRST_S
    return min(earlier_s * 2, LONGEST_S)


@frozen
class Policy:
    """A container's restart policy. ``always`` and ``unless-stopped`` differ only when a host boots."""

    condition: str = "no"
    max_retries: int | None = None

    @classmethod
    def of(cls, declared: Mapping[str, Any]) -> Policy:
        """That of a recorded declaration."""
        restart = declared.get("restart") or {}
        return cls(restart.get("condition", "no"), restart.get("max_retries"))

    @property
    def restarts(self) -> bool:
        """Whether it ever starts a container again."""
        return self.condition != "no"

    def again(self, exit_code: int | None, restarts: int) -> bool:
        """Whether one that ended so, after that many restarts, is started again.

        No exit code (its monitor was killed too) counts as a failure.
        """
        if self.max_retries is not None and restarts >= self.max_retries:
            return False
        return exit_code != 0 if self.condition == "on-failure" else self.restarts
