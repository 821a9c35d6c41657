"""Waiting until what was declared of a service runs, or for the reasons why it does not.

The swarm starts, watches and takes back tasks by itself; here it is only looked at. Fails fast: an update that the
swarm gave up, a slot whose tasks failed twice, a task for which there is no node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from bayplan.errors import BayplanError, RuntimeFailureError, UnavailableError
from bayplan.models import Duration
from bayplan.runtime.protocol import State, Status
from bayplan.runtime.swarm import logs, tasks
from bayplan.runtime.swarm.cluster import Entry
from bayplan.runtime.swarm.services import PAUSED, Services
from bayplan.runtime.swarm.spec.values import rollback_back, update_back

_POLL_S = 0.4
_TWICE = 2
_HOMELESS = 8.0
"""Seconds for which a swarm may say that it has no node for a task: one that is being stopped still holds ports."""
_STEADY = timedelta(seconds=1)
"""Least time for which all must run: the swarm says a moment after a change that it carries it out."""
_APART = frozenset({"Placement", "Runtime"})
"""A node that still fits keeps its task when placement changes; the API gives the runtime of services alone."""
_MOVING = frozenset({"updating", "rollback_started"})
_TAKEN_BACK = frozenset({"rollback_completed", "rollback_started", "rollback_paused"})


class Settling:
    """One wait for one service."""

    def __init__(
        self,
        services: Services,
        name: str,
        timeout: Duration,
        stopped: Callable[[], bool],
        *,
        taken_back: bool = False,
    ) -> None:
        """``taken_back``: its last change was, and that is what is wanted."""
        self.services, self.name, self.stopped, self.taken_back = services, name, stopped, taken_back
        self.cluster = services.cluster
        self.end = time.monotonic() + timeout.total_seconds()
        self.timeout = timeout
        self.begin = ""
        self.since_steady: float | None = None
        self.since_homeless: float | None = None

    def run(self) -> Status:
        """Raises RuntimeFailureError with the tasks' reasons and their last lines; UnavailableError when stopped."""
        while True:
            if self.stopped():
                # No StoppedError: the change was begun.
                raise UnavailableError(
                    "the apply was stopped while its tasks were starting; the swarm carries the change on",
                    where=f"service {self.name}",
                    hint="apply again to see it to its end",
                )
            found = self.services.get(self.name)
            self.begin = self.begin or str(found.get("UpdatedAt", ""))
            all_tasks = self.cluster.tasks(found["ID"])
            state = str((found.get("UpdateStatus") or {}).get("State", ""))
            if state in PAUSED or (state == "rollback_completed" and not self.taken_back):
                self._give_up(found, all_tasks, self._ended_as(found, state))
            if state != "rollback_started":
                self._check_failing(found, all_tasks, state)
            if self._steady(found, all_tasks, state):
                return Status(state=State.RUNNING)
            if time.monotonic() > self.end:
                self._give_up(found, all_tasks, f"did not come to run in {self.timeout}")
            time.sleep(_POLL_S)

    def _steady(self, found: Entry, all_tasks: Sequence[Entry], state: str) -> bool:
        """Whether everything runs, and has for the time in which an end counts as a failure."""
        template = found["Spec"]["TaskTemplate"]
        due = [task for task in all_tasks if tasks.wanted(task)]
        runs = [task for task in due if tasks.state(task) == "running" and _is_current(task, template)]
        replicas = (found["Spec"]["Mode"].get("Replicated") or {}).get("Replicas")
        whole = len(runs) == len(due) and (replicas is None or len(runs) == replicas) and state not in _MOVING
        if not whole:
            self.since_steady = None
            return False
        now = time.monotonic()
        if self.since_steady is None:
            self.since_steady = now
        if state in ("completed", "rollback_completed"):  # the swarm has watched for that time itself
            return now - self.since_steady >= _STEADY.total_seconds()
        watch = update_back(found["Spec"].get("UpdateConfig") or {}).monitor
        return now - self.since_steady >= max(watch, _STEADY).total_seconds()

    def _check_failing(self, found: Entry, all_tasks: Sequence[Entry], state: str) -> None:
        """Give up what only a person can mend."""
        current = [task for task in all_tasks if _is_current(task, found["Spec"]["TaskTemplate"])]
        if tasks.homeless(current):
            now = time.monotonic()
            self.since_homeless = self.since_homeless or now
            if now - self.since_homeless > _HOMELESS:
                self._give_up(found, all_tasks, "finds no node for its tasks")
        else:
            self.since_homeless = None
        if state == "updating":
            return  # how many may fail is the declaration's to say, and the swarm's to count
        slots: dict[str, int] = {}
        for task in tasks.failed(current, since=self.begin):
            slots[tasks.slot(task)] = slots.get(tasks.slot(task), 0) + 1
        running = {tasks.slot(task) for task in current if tasks.wanted(task) and tasks.state(task) == "running"}
        given_up = [one for one, count in slots.items() if count >= _TWICE and one not in running]
        if given_up or (slots and not any(tasks.wanted(task) for task in all_tasks)):
            self._give_up(found, all_tasks, "does not come to run")

    def _ended_as(self, found: Entry, state: str) -> str:
        if state in _TAKEN_BACK:
            return "was taken back to what ran before, since tasks of the new kind failed"
        message = (found.get("UpdateStatus") or {}).get("Message") or ""
        return f"stopped half-way: {message}"

    def _give_up(self, found: Entry, all_tasks: Sequence[Entry], what: str) -> None:
        nodes = {node["ID"]: node["Description"]["Hostname"] for node in self.cluster.nodes()}
        why = tasks.reasons(all_tasks, nodes)
        state = str((found.get("UpdateStatus") or {}).get("State", ""))
        what += self._take_back(found, state)
        raise RuntimeFailureError(
            f"{what}{': ' if why else ''}{'; '.join(why)}",
            where=f"service {self.name}",
            hint=f"see `bayplan logs`, or `docker service ps {self.name}`",
            output=self._last_lines(all_tasks),
        )

    def _take_back(self, found: Entry, state: str) -> str:
        """What the swarm itself does not see as a failure (no node, no time) comes back by our word."""
        policy = update_back(found["Spec"].get("UpdateConfig") or {})
        if state != "updating" or policy.failure_action != "rollback" or not found.get("PreviousSpec"):
            return ""
        self.services.rollback(self.name)
        watch = rollback_back(found["Spec"].get("RollbackConfig") or {})
        end = time.monotonic() + (watch.monitor + timedelta(minutes=1)).total_seconds()
        while time.monotonic() < end:
            now = str((self.services.get(self.name).get("UpdateStatus") or {}).get("State", ""))
            if now in ("rollback_completed", "rollback_paused"):
                break
            time.sleep(_POLL_S)
        return "; it was taken back to what ran before"

    def _last_lines(self, all_tasks: Sequence[Entry]) -> str:
        failing = tasks.failed(all_tasks)
        try:
            return logs.last_lines(self.cluster.client, failing[0]) if failing else ""
        except BayplanError:
            return ""


def _is_current(task: Entry, template: Mapping[str, Any]) -> bool:
    """Whether it is of the present kind."""
    spec = task.get("Spec") or {}
    return all(spec.get(name) == template.get(name) for name in {*spec, *template} - _APART)
