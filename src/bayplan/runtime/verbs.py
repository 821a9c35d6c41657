"""The verbs of a container's life that a person gives by hand, beside those that an apply needs (``protocol``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from bayplan.models import Endpoint
    from bayplan.system.process_table import ProcessRow
    from bayplan.system.usage import Usage


Happening = tuple[datetime, str, str, str, str]
"""Time, project, container, action (as `docker events` names it) and detail of one thing that happened."""


@dataclass(frozen=True)
class Finding:
    """One thing that is damaged: whose it is, what is wrong, and what mends it."""

    resource: str
    what: str
    hint: str


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

    def connect(self, name: str, endpoint: Endpoint) -> None:
        """Put it on one network more; its processes go on, and it stays on it over restarts until an apply mends that.

        Raises ConflictError when it is on it or cannot be, NotFoundError.
        """

    def disconnect(self, name: str, network: str, *, force: bool = False) -> None:
        """Take it off a network, as ``connect`` puts it on. Raises ConflictError when it is not on it, NotFoundError.

        Without ``force`` also when its published ports would close.
        """

    def happened(self) -> Sequence[Happening]:
        """What happened to containers, oldest first, as far back as it is kept."""

    def damaged(self) -> Sequence[Finding]:
        """Whether all that is recorded is there and whole: blobs by their digests, layers, volumes. Reads only."""

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

    def attach(
        self, name: str, *, stdin: bool = True, detach_keys: bytes = b"\x10\x11", sig_proxy: bool = True
    ) -> int | None:
        """Join the caller's standard streams to its own until it ends; its exit code, None when detached by the keys.

        ``sig_proxy``: signals to the caller go on to a container that has no terminal. Raises ConflictError when it
        does not run.
        """

    def start_attached(self, name: str, *, stdin: bool = True, detach_keys: bytes = b"\x10\x11") -> int | None:
        """Start a created one, joined to the caller's streams from its first byte; see ``attach``.

        The host's lock is held for the start alone. Raises ConflictError when it runs already.
        """

    def copy_out(self, name: str, path: str, target: str | None, sink: IO[bytes], *, follow: bool = False) -> None:
        """Copy a path of it to ``target`` of the host; None: as a tar to ``sink``. Owners are kept, links not followed.

        ``follow``: but for the path itself, when that is a link. No link that is made meanwhile leads out of its root.
        Raises NotFoundError.
        """

    def copy_in(self, name: str, source: str | None, path: str, stream: IO[bytes], *, follow: bool = False) -> None:
        """Copy ``source`` of the host to a path of it; None: a tar from ``stream`` into that directory."""
