"""What may go wrong between Pulumi and the engine, as this room raises it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.errors import BayplanError, UnavailableError


class RefusedError(BayplanError):
    """The engine said no, or failed: its sentence, and the last output of what failed.

    ``type`` names the error of ``bayplan.errors`` that it was there; empty when an older bridge does not say.
    """

    type = ""

    @classmethod
    def of(cls, failure: Mapping[str, Any]) -> RefusedError:
        """From a failure as the bridge has it; where and what next stand in its sentence already."""
        found = cls(str(failure.get("msg")), output=str(failure.get("output") or ""))
        found.type = str(failure.get("type") or "")
        return found


def told(error: BayplanError) -> str:
    """An error as Pulumi shows it: what, where, what next, and the last output of a program that failed."""
    text, output = str(error), error.output.strip()
    return f"{text}\n{output}" if output and output not in text else text


class LostError(UnavailableError):
    """It was asked, and no answer came: it may have been done, or be under way."""


class PartlyMadeError(BayplanError):
    """It is on the host, but not as it is to be: Pulumi keeps it, and its next update goes on."""

    def __init__(self, reason: str, id_: str, outputs: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
        super().__init__(reason)
        self.reason, self.id, self.outputs, self.inputs = reason, id_, outputs, inputs


@dataclass(frozen=True)
class Wrong:
    """An input that cannot be: the path of the property, and what is wrong with it."""

    property: str
    reason: str = field(compare=False)
