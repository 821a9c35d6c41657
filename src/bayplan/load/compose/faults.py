"""The faults of a file gathered while it is read on, so that they are mended in one go."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from bayplan.errors import DeclarationError, Location, ManyFaultsError

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Faults:
    """Those found so far; ``count`` also those that are ``found`` already, from another side."""

    def __init__(self) -> None:
        self.found: list[DeclarationError] = []
        self.count = 0

    def add(self, error: DeclarationError) -> None:
        """One more, or those of which it is made; what is found twice is told once."""
        known = set(map(str, self.found))
        new = error.faults if isinstance(error, ManyFaultsError) else (error,)
        self.found += [one for one in new if str(one) not in known]
        self.count += 1

    def of(self, read: Callable[_P, _T], *given: _P.args, **named: _P.kwargs) -> _T | None:
        """What ``read`` gives; None when it finds a fault, which is kept."""
        try:
            return read(*given, **named)
        except DeclarationError as error:
            self.add(error)
            return None

    def tell(self) -> None:
        """Raise what was found, if anything, in the order of the lines."""
        found = sorted(self.found, key=_line)
        if found:
            raise found[0] if len(found) == 1 else ManyFaultsError(found)


def _line(error: DeclarationError) -> tuple[str, int]:
    where = error.where
    return (where.file, where.line) if isinstance(where, Location) else (str(where or ""), 0)
