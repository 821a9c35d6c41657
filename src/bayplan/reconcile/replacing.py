"""A container in place of another: the old one runs on, or is started again, until its successor has proved itself.

Stop-first: the old one makes room, waits aside, and comes back when the new one fails. Start-first: the new one is made
and proved beside the old one, then takes over its name and ports at once, and the old one ends what it has begun. A
kill at any moment leaves one of the two ``superseded``; the next apply removes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from bayplan.models import Condition, Container, Duration, HealthCheck
from bayplan.reconcile.plan import Step
from bayplan.runtime.protocol import STAYS, Health, Report, Runtime, Scope


@dataclass(frozen=True)
class Replacing:
    """Replaces containers through a runtime."""

    runtime: Runtime
    project: str
    report: Report

    def replace(self, step: Step, container: Container, digest: str, create: Callable[[], None]) -> None:
        """Replace it in the order that its step says; ``create`` makes and starts the successor in its place."""
        self.runtime.prepare(container, digest=digest, report=self.report)
        if step.runs and not step.paused and step.roll is not None and step.roll.order == "start-first":
            self._start_first(step, container, digest)
        else:
            self._stop_first(step, container, create)

    def _stop_first(self, step: Step, container: Container, create: Callable[[], None]) -> None:
        aside = self.runtime.supersede(container.name)
        try:
            create()
            self.prove(step, container, container.name)
        except BaseException:
            self.runtime.delete(container.id)
            if aside:
                self.runtime.restore(aside, container.name)
            raise
        if aside:
            self.runtime.delete(replace(container.id, name=aside))

    def _start_first(self, step: Step, container: Container, digest: str) -> None:
        beside = self.runtime.create_beside(container, project=self.project, digest=digest, report=self.report)
        try:
            self.runtime.start(beside)
            self.prove(step, container, beside)
            aside = self.runtime.take_over(beside, container.name)
        except BaseException:
            self.runtime.delete(replace(container.id, name=beside))
            raise
        if aside:
            self.runtime.drain(aside)
            self.runtime.delete(replace(container.id, name=aside))

    def prove(self, step: Step, container: Container, name: str) -> None:
        """Wait until it is healthy, if it has a check, and has stayed for as long as it is watched.

        Raises RuntimeFailureError with its last log lines.
        """
        if not step.runs or step.paused:
            return
        if checks_health(container.healthcheck) or (step.roll is not None and self._is_checked(container, name)):
            self.runtime.wait(name, Condition.HEALTHY.value, health_timeout(container.healthcheck))
        if step.roll is not None and step.roll.monitor:
            self.runtime.wait(name, STAYS, step.roll.monitor)

    def _is_checked(self, container: Container, name: str) -> bool:
        """Whether its image has a check: the declaration does not say."""
        wanted = replace(container.id, name=name)
        found = self.runtime.observe(Scope(names=(wanted,))).get(wanted)
        return found is not None and found.status.health is not Health.NONE


def checks_health(check: HealthCheck | None) -> bool:
    """Whether a declaration has a check."""
    return check is not None and bool(check.test) and not check.is_off


def health_timeout(check: HealthCheck | None) -> Duration:
    """The time in which a check must have come to a verdict, with room for a slow machine."""
    if check is None:
        return Duration(minutes=5)
    usual = timedelta(seconds=30)
    once = (check.interval or usual) + (check.timeout or usual)
    return Duration.parse((check.start_period or timedelta()) + once * ((check.retries or 3) + 1) + usual)
