"""The verbs of a container's life that a person gives by hand, beside those that an apply needs (``protocol``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from bayplan.system.process_table import ProcessRow
from bayplan.system.usage import Usage


class Verbs(Protocol):
    """What every engine can do with one container besides making it so. ``Runtime`` has all of them."""

    def kill(self, name: str, signal: str = "SIGKILL") -> None:
        """Send a signal, by name or number. SIGKILL and its stop signal end a paused one too, and it stays ended.

        Raises ConflictError when it does not run, UnsupportedError for an unknown signal.
        """

    def pause(self, name: str) -> None:
        """Freeze all its processes. A paused one is no error. Raises ConflictError when it does not run."""

    def unpause(self, name: str) -> None:
        """Let a paused one go on. Raises ConflictError when it does not run; one that is not paused is no error."""

    def rename(self, name: str, new_name: str) -> None:
        """Give it another name, by which its peers find it too. Raises ConflictError when that is taken."""

    def await_end(self, name: str, *, stopped: Callable[[], bool] | None = None) -> int:
        """Wait until it does not run, and give its exit code (0: it has never run).

        Raises StoppedError when ``stopped`` says so, RuntimeFailureError when nobody knows the code.
        """

    def processes(self, name: str) -> Sequence[ProcessRow]:
        """What runs in it, numbers as the host sees them. Raises ConflictError when it does not run."""

    def usage(self, name: str) -> Usage:
        """What it uses now; all zero when it does not run."""

    def inspect(self, name: str) -> Mapping[str, Any]:
        """The container in the shape of `docker inspect`; values that may hold secrets are masked."""
