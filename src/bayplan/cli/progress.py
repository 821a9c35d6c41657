"""What is shown while an apply runs: a line for each step, bars for long transfers on a terminal."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING

from bayplan.cli.printable import printable
from bayplan.runtime.protocol import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from bayplan.reconcile.walk import Event


class Ticker:
    """Prints to standard error; quiet for JSON output. Safe to call from many threads."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._lock = threading.Lock()
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Ticker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def event(self, event: Event) -> None:
        """A step changed phase."""
        from bayplan.reconcile.walk import Phase

        if self._quiet or event.phase in (Phase.STARTED, Phase.SKIPPED):
            return
        sign = "done" if event.phase is Phase.DONE else "FAILED"
        self._say(f"  {sign:<6} {event.step.action.value:<9} {event.step.resource} ({event.seconds:.2f} s)")

    def report(self, progress: Progress) -> None:
        """Long work went on."""
        if self._quiet:
            return
        if progress.message:
            self._say(f"  {progress.label}: {printable(progress.message)}")
        elif self._terminal:
            self._bar(progress)

    def _say(self, text: str) -> None:
        with self._lock:
            if self._bars is not None:
                self._bars.console.print(text, highlight=False, markup=False)
            else:
                print(text, file=sys.stderr, flush=True)

    def _bar(self, progress: Progress) -> None:
        with self._lock:
            if self._bars is None:
                from rich.console import Console
                from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
                from rich.progress import Progress as Bars

                columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
                self._bars = Bars(*columns, console=Console(stderr=True), transient=True)
                self._bars.start()
            task = self._tasks.get(progress.label)
            if task is None:
                task = self._tasks[progress.label] = self._bars.add_task(progress.label, total=progress.total or None)
            self._bars.update(task, completed=progress.done, total=progress.total or None)
