"""What an engine's API answers instead of what was asked for, and that nothing came at all."""

from __future__ import annotations


class AnswerError(Exception):
    """A status of 400 and more. ``explanation`` is the engine's own text."""

    def __init__(self, status_code: int, explanation: str) -> None:
        super().__init__(f"{status_code}: {explanation}")
        self.status_code, self.explanation = status_code, explanation


class AbsentError(AnswerError):
    """404: what was asked about is not there."""


class TransportError(Exception):
    """No answer, or one that was cut; its cause says why."""
