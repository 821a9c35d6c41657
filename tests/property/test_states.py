"""The engine through any history: edits, drift, failures, kills and new images, in any order, on the fake runtime."""

import hashlib
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bayplan.errors import RuntimeFailureError
from bayplan.models import Kind, Stack
from bayplan.reconcile.apply import apply_plan
from bayplan.reconcile.planner import make_plan
from bayplan.record.journal import Journal
from bayplan.runtime.fake import FakeRuntime
from bayplan.runtime.protocol import State
from property.checks import as_foretold
from property.declarations import services

VERBS = ("create", "start", "update", "heal", "stop", "delete", "supersede", "restore")
RESOURCES = ("p-a-1", "p-b-1", "p-c-1", "p-a-2", "n1", "n2", "v1", "i1", "i2")


class KilledError(BaseException):
    """The process is no more: nothing of it runs on, no way back is taken."""


class MortalRuntime(FakeRuntime):
    """Ends at its ``left``-th change, as a killed process does; ``revive`` is its next start."""

    left: int | None = None

    def _call(self, verb, name, *, record=True):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KilledError
        super()._call(verb, name, record=record)


class Histories(RuleBasedStateMachine):
    """Whatever has happened, an apply makes observed equal desired, as its plan has foretold, and the next is empty."""

    def __init__(self):
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.journal = Journal(Path(self.place.name) / "record.db")
        self.runtime, self.stack, self.volumes = MortalRuntime(), Stack(name="p"), {}
        for name in ("i1", "i2"):
            self.move_image(name, "1")

    @rule(stack=services())
    def declare(self, stack):
        self.stack = stack

    @rule(name=st.sampled_from(("i1", "i2")), content=st.sampled_from("123"))
    def move_image(self, name, content):
        self.runtime.registry[name] = "sha256:" + hashlib.sha256(f"{name}{content}".encode()).hexdigest()

    @rule(number=st.integers(0, 20), what=st.sampled_from(("in-place", "restart", "re-create", "end", "stop", "gone")))
    def drift(self, number, what):
        there = sorted((key for key in self.runtime.resources if key.kind is not Kind.VOLUME), key=str)
        if not there:
            return
        key = there[number % len(there)]
        item, runs = self.runtime.resources[key], self.runtime.resources[key].status.state is State.RUNNING
        if what == "gone" and (key.kind is Kind.CONTAINER or not self._is_used(key.name)):
            del self.runtime.resources[key]
        elif what in ("end", "stop") and runs:
            self.runtime._set(key.name, state=State.EXITED, exit_code=1, on_request=what == "stop")
        elif what == "in-place" or (what in ("restart", "re-create") and runs):
            self.runtime.resources[key] = item.model_copy(update={"defects": {"a part is gone": what}})

    @rule(verb=st.sampled_from(VERBS), name=st.sampled_from(RESOURCES))
    def fail(self, verb, name):
        self.runtime.fail = {f"{verb} {name}": "it failed"}
        self._apply_somehow()

    @rule(after=st.integers(0, 12))
    def kill(self, after):
        self.runtime.left = after
        self._apply_somehow()

    @rule()
    def plan(self):
        before = dict(self.runtime.resources)
        make_plan(self.stack, self.runtime)
        assert self.runtime.resources == before

    @rule()
    def apply(self):
        before = dict(self.runtime.resources)
        plan = make_plan(self.stack, self.runtime)
        outcome = apply_plan(plan, self.runtime, self.journal, workers=2)
        outcome.raise_failure()
        as_foretold(plan, outcome, before, self.runtime.resources)
        assert self.runtime.matches(self.stack)
        again = make_plan(self.stack, self.runtime)
        assert not again.changed
        assert not again.noted
        left = {key.name for key in self.runtime.resources if key.kind is not Kind.VOLUME}
        assert left == {item.name for item in (*self.stack.containers, *self.stack.networks)}

    @invariant()
    def volumes_stay(self):
        """None goes, none is made anew."""
        held = {key: item.handle for key, item in self.runtime.resources.items() if key.kind is Kind.VOLUME}
        assert {key: held.get(key) for key in self.volumes} == self.volumes
        self.volumes = held

    def teardown(self):
        try:
            self.apply()
        finally:
            self.journal.close()
            self.place.cleanup()

    def _apply_somehow(self):
        with suppress(RuntimeFailureError, KilledError):
            apply_plan(make_plan(self.stack, self.runtime), self.runtime, self.journal, workers=2)
        self.runtime.fail, self.runtime.left = {}, None

    def _is_used(self, network):
        return any(
            network in [endpoint.network for endpoint in item.actual.networks]
            for key, item in self.runtime.resources.items()
            if key.kind is Kind.CONTAINER
        )


TestHistories = Histories.TestCase
TestHistories.settings = settings(deadline=None, max_examples=50, stateful_step_count=10)
