"""The graph of a plan's steps, walked in parallel by a bounded pool."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from queue import Empty, SimpleQueue

from bayplan.errors import StoppedError
from bayplan.models import ResourceId
from bayplan.reconcile.execute import Executor
from bayplan.reconcile.plan import Step
from bayplan.values import frozen


class Phase(StrEnum):
    """Where a step is."""

    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@frozen
class Event:
    """A step changed phase; ``seconds`` since it started."""

    step: Step
    phase: Phase
    seconds: float = 0.0
    error: BaseException | None = None


@frozen
class _Ended:
    step: Step
    seconds: float
    error: BaseException | None


@dataclass
class Walk:
    """One walk over the steps of a plan. A step begins when all that it needs is done and a worker is free.

    ``note`` is given what happened, in order, several events at once where they came together. Each step costs the
    same whatever the number of steps: what waits is counted down, nothing is searched.
    """

    executor: Executor
    note: Callable[[Sequence[Event]], None]
    workers: int
    done: list[Step] = field(default_factory=list)
    failed: list[tuple[Step, BaseException]] = field(default_factory=list)
    skipped: list[Step] = field(default_factory=list)
    halted: bool = False
    """A failure has ended it: one that the service's ``update_config`` does not go on after."""
    _failures: Counter[str] = field(default_factory=Counter)
    _ended: SimpleQueue[_Ended] = field(default_factory=SimpleQueue)

    def run(self, steps: Sequence[Step]) -> None:
        """Walk them all, or until one fails or the executor's ``stop`` is set; ``skipped`` are those not begun."""
        here = {step.resource for step in steps}
        open_needs = {step.resource: here.intersection(step.needs) - {step.resource} for step in steps}
        dependents: dict[ResourceId, list[Step]] = {}
        for step in steps:
            for need in open_needs[step.resource]:
                dependents.setdefault(need, []).append(step)
        ready = deque(step for step in steps if not open_needs[step.resource])
        begun: set[ResourceId] = set()
        with ThreadPoolExecutor(max_workers=self.workers, thread_name_prefix="apply") as pool:
            try:
                running = self._begin(ready, begun, 0, pool, [])
                while running:
                    ended = self._wait()
                    running -= len(ended)
                    for step in self._settle(ended):
                        for dependent in dependents.get(step.resource, ()):
                            open_needs[dependent.resource].discard(step.resource)
                            if not open_needs[dependent.resource]:
                                ready.append(dependent)
                    running = self._begin(ready, begun, running, pool, self._told(ended))
            except BaseException:
                self.executor.stop.set()
                raise
        self.skipped += [step for step in steps if step.resource not in begun]
        self.note([Event(step, Phase.SKIPPED) for step in self.skipped])

    def _begin(
        self, ready: deque[Step], begun: set[ResourceId], running: int, pool: ThreadPoolExecutor, told: list[Event]
    ) -> int:
        """Begin what may begin; how many run then. What ended before is told together with it."""
        chosen: list[Step] = []
        while ready and running + len(chosen) < self.workers and not self.executor.ends():
            chosen.append(ready.popleft())
        # Before they are begun: what runs is in the journal whenever this process ends.
        self.note([*told, *(Event(step, Phase.STARTED) for step in chosen)])
        for step in chosen:
            begun.add(step.resource)
            pool.submit(self._execute, step)
        return running + len(chosen)

    def _execute(self, step: Step) -> None:
        began, error = time.monotonic(), None
        try:
            self.executor.execute(step)
        except BaseException as raised:  # noqa: BLE001 - the walk's thread looks at it
            error = raised
        self._ended.put(_Ended(step, time.monotonic() - began, error))

    def _wait(self) -> list[_Ended]:
        """All that ended since, at least one."""
        ended = [self._ended.get()]
        try:
            while True:
                ended.append(self._ended.get_nowait())
        except Empty:
            return ended

    def _settle(self, ended: Iterable[_Ended]) -> list[Step]:
        """Sort what ended; gives the steps after which others may begin."""
        passed = []
        for item in ended:
            if isinstance(item.error, StoppedError):
                self.skipped.append(item.step)
                continue
            if item.error is None:
                self.done.append(item.step)
            else:
                self.failed.append((item.step, item.error))
                if not self._goes_on(item.step):
                    self.halted = True
                    self.executor.halted.set()
                    continue
            passed.append(item.step)
        return passed

    def _goes_on(self, step: Step) -> bool:
        """Whether the others go on after this one has failed: its service says so, and what ran before runs again."""
        if step.roll is None:
            return False
        self._failures[step.roll.service] += 1
        return step.roll.failure_action == "continue" or self._failures[step.roll.service] <= step.roll.may_fail

    @staticmethod
    def _told(ended: Iterable[_Ended]) -> list[Event]:
        return [
            Event(item.step, Phase.FAILED if item.error else Phase.DONE, item.seconds, item.error)
            for item in ended
            if not isinstance(item.error, StoppedError)
        ]
