"""Every error Bayplan raises on purpose.

    BayplanError
    ├── TerminalError            the user must act; trying again as is gives the same
    │   ├── DeclarationError     the declaration is wrong: file, line, what, what next
    │   │   ├── NotBuiltYetError a known option that this version does not build yet
    │   │   └── ManyFaultsError  several of these at once, a line each
    │   ├── UnsupportedError     this host or engine cannot honour what was asked
    │   ├── ConflictError        the host holds something that is in the way (port, subnet, name); names the owner
    │   │   └── InUseError       what is to be removed is used by something that stays; names its users
    │   ├── NotFoundError        an image, container, file ... that was named does not exist
    │   ├── AccessDeniedError    a registry refuses these credentials, or none were given
    │   ├── StalePlanError       the world moved after the plan was made
    │   ├── CorruptStateError    records on disk fail their check; never read as "empty"
    │   └── RuntimeFailureError  a container, a build step, a health check failed; carries its last output
    └── RetryableError           may pass by itself
        ├── BusyError            another apply holds the host; names the holder
        ├── StoppedError         the apply was told to stop (Ctrl-C, SIGTERM); nothing of this step was begun
        └── UnavailableError     a registry or host did not answer in time

A message says what was wrong, where, and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Location:
    """Where in a declaration a value stands: file name as given, 1-based line and column; zero is unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class BayplanError(Exception):
    """Root of the tree.

    ``what`` is the fault, ``where`` the file, line, resource or host, ``hint`` the next thing to do. ``output`` is
    the last output of a program that failed, for the user to read.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: Location | str | None = None, hint: str = "", output: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint
        self.output = output

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} ({self.hint})" if self.hint else text


class TerminalError(BayplanError):
    """The user must act."""


class DeclarationError(TerminalError):
    """The declaration is wrong. Nothing was changed."""

    exit_code = 2


class NotBuiltYetError(DeclarationError):
    """The option exists in Compose but this version does not build it. Nothing was changed."""


class ManyFaultsError(DeclarationError):
    """Several faults of a declaration, found in one go: a line each, of at most ``MOST``. ``where``: the first one."""

    MOST = 20

    def __init__(self, faults: Sequence[DeclarationError]) -> None:
        more = [f"and {len(faults) - self.MOST} more"] if len(faults) > self.MOST else []
        lines = [f"{len(faults)} faults:", *map(str, faults[: self.MOST]), *more]
        super().__init__("\n  ".join(lines), where=faults[0].where)
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return self.what


class UnsupportedError(TerminalError):
    """The host, kernel or engine cannot honour an option. Nothing was changed."""

    exit_code = 2


class ConflictError(TerminalError):
    """Something on the host is in the way; the message names its owner. Nothing was changed."""

    exit_code = 2


class InUseError(ConflictError):
    """Something that stays uses what is to be removed. Nothing was changed."""


class NotFoundError(TerminalError):
    """A thing that was named does not exist. Nothing was changed."""

    exit_code = 2


class AccessDeniedError(TerminalError):
    """A registry refuses these credentials, or wants some. Nothing was changed there."""

    exit_code = 2


class StalePlanError(TerminalError):
    """What the plan was made on has moved since."""

    exit_code = 4


class CorruptStateError(TerminalError):
    """Records on disk fail their check."""


class RuntimeFailureError(TerminalError):
    """A container, build step or health check failed; ``output`` has its last lines."""


class RetryableError(BayplanError):
    """May pass by itself."""

    exit_code = 3


class BusyError(RetryableError):
    """Another change is running on this host; the message names its holder."""


class StoppedError(RetryableError):
    """A step was not begun, because the apply was told to stop."""


class UnavailableError(RetryableError):
    """A registry, host or engine did not answer."""


def unforeseen(error: BaseException) -> str:
    """What is told of an error that is none of these: its kind and its place in this package.

    Its text may hold values, which may be secret.
    """
    trace, place, own = error.__traceback__, "", Path(__file__).parent
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_relative_to(own):
            place = f"{file.relative_to(own)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {place} (this is a mistake in Bayplan: please report it)"
