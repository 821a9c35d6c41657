"""One step of a plan, done through the runtime protocol."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress

from bayplan.errors import BayplanError, ConflictError, RuntimeFailureError, StoppedError
from bayplan.models import Change, Condition, Container, Duration, Image, ImageMount, Kind, ResourceId
from bayplan.reconcile import waiting
from bayplan.reconcile.plan import Action, Note, Plan, Roll, Step, Wait
from bayplan.reconcile.replacing import Replacing, health_timeout
from bayplan.runtime.protocol import Report, Runtime, Scope

_START_TIMEOUT = Duration(seconds=60)
_COMPLETION_TIMEOUT = Duration(hours=1)
_LOOK_S = 0.2
"""How soon a wish to stop is seen in a pause."""
_BUILD_PREFIX = "fingerprint:"


class Executor:
    """Does single steps. Safe to call from many threads for different steps."""

    def __init__(self, plan: Plan, runtime: Runtime, report: Report, stop: threading.Event) -> None:
        self.plan, self.runtime, self.report, self.stop = plan, runtime, report, stop
        self.halted = threading.Event()
        """Set when a failure has ended the walk: what only waits need not wait any more."""

    def ends(self) -> bool:
        """Whether nothing more is to be begun: told to stop, or halted by a failure."""
        return self.stop.is_set() or self.halted.is_set()

    def note(self, note: Note) -> None:
        """Record fields that need nothing on the host."""
        if note.desired is not None:
            fields = sorted({change.path.partition("[")[0] for change in note.fields})
            self.runtime.update(note.desired, fields, project=self.plan.project)

    def execute(self, step: Step) -> None:
        """Do one step. Raises BayplanError with the resource named; StoppedError when nothing of it was begun."""
        if self.stop.is_set():
            raise StoppedError("the apply was stopped before this step", where=str(step.resource))
        try:
            self._pause(step.roll)
            waiting.all_of(step.waits, lambda one, stopped: self._await(one, step, stopped), self.ends)
            self._do(step)
        except BayplanError as error:
            error.where = error.where or str(step.resource)
            raise
        except OSError as error:
            hint = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
            raise RuntimeFailureError(str(error), where=str(step.resource), hint=hint) from error
        except Exception as error:
            raise RuntimeFailureError(f"{type(error).__name__}: {error}", where=str(step.resource)) from error

    def _do(self, step: Step) -> None:
        name = step.resource.name
        match step.action:
            case Action.DELETE:
                self.runtime.delete(step.resource)
            case Action.STOP:
                self._update(step)
                self.runtime.stop(name)
            case Action.HEAL | Action.UPDATE:
                self._update(step)
                if step.defects:
                    self.runtime.heal(step.resource)
                self._settle(step)
            case Action.PAUSE:
                self._update(step)
                self.runtime.pause(name)
            case Action.START:
                self._update(step)
                self._start(step)
            case Action.RESTART:
                self._restart(step)
            case Action.RECREATE:
                self._recreate(step)
            case Action.CREATE | Action.PULL | Action.BUILD | Action.TAG:
                self._create(step)

    def _restart(self, step: Step) -> None:
        self._update(step)
        self.runtime.stop(step.resource.name)
        if step.runs:
            self._start(step)
        if step.roll is not None and isinstance(step.desired, Container):
            Replacing(self.runtime, self.plan.project, self.report).prove(step, step.desired, step.resource.name)

    def _start(self, step: Step) -> None:
        self.runtime.start(step.resource.name)
        if step.paused:
            self.runtime.pause(step.resource.name)

    def _update(self, step: Step) -> None:
        paths = [change.path for change in step.fields if change.how is not Change.RECREATE]
        fields = sorted({*(path.partition("[")[0] for path in paths), *(["networks"] if step.rejoins else [])})
        # What it is given is in memory only: a reboot took it away, and the declaration brings it.
        given = isinstance(step.desired, Container) and (step.desired.secrets or step.desired.configs)
        if step.desired is not None and (fields or given):
            self.runtime.update(step.desired, fields, project=self.plan.project)

    def _create(self, step: Step) -> None:
        desired = step.desired
        if desired is None:
            raise RuntimeFailureError("the plan holds no declaration for this step", where=str(step.resource))
        digest = ""
        if isinstance(desired, Image):
            digest = self.plan.images[desired.name].digest
        elif isinstance(desired, Container):
            digest = self._digest(desired.image)
            desired = self._with_mounted(desired)
        self.runtime.create(desired, project=self.plan.project, digest=digest, report=self.report)
        if isinstance(desired, Container) and step.runs:
            self._start(step)
        self._settle(step)

    def _settle(self, step: Step) -> None:
        """A service's tasks are the swarm's to start: wait until they run, or for the reasons why they do not."""
        if step.resource.kind is not Kind.SERVICE or step.desired is None:
            return
        from bayplan.reconcile import swarm

        limit = swarm.time_to_settle(step.desired)
        self.runtime.wait(step.resource.name, Condition.STARTED.value, limit, stopped=self.stop.is_set)

    def _recreate(self, step: Step) -> None:
        """Make the successor; see ``replacing``. A network is made anew with its containers beside it."""
        desired = step.desired
        if self._came_out_the_same(step):
            self._start(step)
            return
        if not isinstance(desired, Container):
            self._remake_network(step)
            return
        digest = self._digest(desired.image)
        replacing = Replacing(self.runtime, self.plan.project, self.report)
        replacing.replace(step, self._with_mounted(desired), digest, lambda: self._create(step))

    def _remake_network(self, step: Step) -> None:
        """Its containers run on without it, and are put on it again by their own steps."""
        network = step.resource.name
        for container in step.displaces:
            self.runtime.disconnect(container.name, network, force=True)
        self.runtime.delete(step.resource)
        self._create(step)
        for container in step.displaces:
            self._put_back(container, network)

    def _put_back(self, container: ResourceId, network: str) -> None:
        """On a network made anew, for a container that has no step which does it.

        One that is to be replaced is put there too, if it can be: it may have to come back.
        """
        step, found = self.plan.step(container.kind, container.name), self.plan.snapshot.get(container)
        if (step is not None and step.action is not Action.RECREATE) or not isinstance(found.actual, Container):
            return
        place = next(one for one in found.actual.networks if one.network == network)
        with suppress(ConflictError) if step else nullcontext():
            self.runtime.connect(container.name, place)

    def _with_mounted(self, container: Container) -> Container:
        """With the digests of mounted images; those that this apply built have theirs only now."""
        mounts = tuple(
            item.model_copy(update={"digest": self._digest(item.source)}) if isinstance(item, ImageMount) else item
            for item in container.mounts
        )
        return container if mounts == container.mounts else container.model_copy(update={"mounts": mounts})

    def _digest(self, image: str) -> str:
        """The planned digest; for an image that this apply built, what came out of the build."""
        resolved = self.plan.images.get(image)
        if resolved is None:
            return ""
        if resolved.digest.startswith(_BUILD_PREFIX):
            # What is here now, not what the declaration stands for now: its context may have moved since.
            wanted = ResourceId(kind=Kind.IMAGE, name=image)
            found = self.runtime.observe(Scope(names=(wanted,))).get(wanted)
            return found.image_digest if found else ""
        return resolved.digest

    def _came_out_the_same(self, step: Step) -> bool:
        """Whether a build, the only reason to replace this container, gave the very image that it runs."""
        if not isinstance(step.desired, Container) or [item.path for item in step.fields] != ["image.digest"]:
            return False
        change = step.fields[0]
        if not str(change.after).startswith(_BUILD_PREFIX) or change.why != step.why:
            return False
        return bool(self._digest(step.desired.image) == change.before)

    def _pause(self, roll: Roll | None) -> None:
        """Let the time pass that is to be between two lots."""
        until = time.monotonic() + (roll.delay.total_seconds() if roll and roll.lot > 1 else 0.0)
        while (left := until - time.monotonic()) > 0:
            if self.ends():
                raise StoppedError("no longer waiting for the next lot")
            self.halted.wait(min(left, _LOOK_S))

    def _await(self, condition: Wait, step: Step, stopped: Callable[[], bool]) -> None:
        limit = _START_TIMEOUT
        dependency = self.plan.step(Kind.CONTAINER, condition.container)
        declared = dependency.desired if dependency else None
        if condition.condition is Condition.HEALTHY:
            limit = health_timeout(declared.healthcheck if isinstance(declared, Container) else None)
        elif condition.condition is Condition.COMPLETED:
            limit = _COMPLETION_TIMEOUT
        try:
            self.runtime.wait(condition.container, condition.condition.value, limit, stopped=stopped)
        except StoppedError:
            raise
        except BayplanError as error:
            if condition.required:
                goal = condition.condition.value.removeprefix("service_").replace("_", " ")
                raise RuntimeFailureError(
                    f"container {condition.container} did not become {goal}: {error.what}",
                    where=str(step.resource),
                    hint=error.hint,
                    output=error.output,
                ) from error
