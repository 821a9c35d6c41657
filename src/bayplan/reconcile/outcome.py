"""What came of carrying a plan out."""

from __future__ import annotations

from bayplan.reconcile.plan import Step
from bayplan.values import frozen


@frozen
class Outcome:
    """What an apply did."""

    done: tuple[Step, ...] = ()
    failed: tuple[tuple[Step, BaseException], ...] = ()
    skipped: tuple[Step, ...] = ()
    stopped: bool = False
    """Told to stop before it had done everything."""
    halted: bool = False
    """A failure ended it; failures that a service's ``update_config`` goes on after do not."""

    @property
    def changed(self) -> bool:
        """Whether anything was changed."""
        return bool(self.done)

    def raise_failure(self) -> None:
        """Raise the first step's error, if one failed; KeyboardInterrupt when the apply was stopped."""
        if self.failed:
            raise self.failed[0][1]
        if self.stopped:
            raise KeyboardInterrupt
