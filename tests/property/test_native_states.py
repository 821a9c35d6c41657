"""The engine through short histories on the native core, as ``test_states`` has long ones on the fake runtime."""

import os
import signal
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from bayplan import app
from bayplan.models import Kind, Stack
from bayplan.reconcile.verbs import Command
from bayplan.runtime.native.runtime import NativeRuntime
from bayplan.runtime.protocol import State
from faults.core import Core, add_image, layer
from property.checks import as_foretold, fields_of
from property.declarations import services

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
# `BAYPLAN_TESTS_HISTORIES=100 ./run test tests/property/test_native_states.py` has an hour of them.
EXAMPLES = int(os.environ.get("BAYPLAN_TESTS_HISTORIES", "4"))
STEPS = 6


def possible(stack):
    """Without ports of containers that are on no network from which they can be published."""
    outward = {item.name for item in stack.networks if not item.internal}
    containers = [
        item if outward & {place.network for place in item.networks} else item.model_copy(update={"ports": ()})
        for item in stack.containers
    ]
    return stack.model_copy(update={"containers": tuple(containers)})


SOME = services().map(possible).filter(lambda stack: 0 < len(stack.containers) < 6)


class Histories(RuleBasedStateMachine):
    """Whatever has happened, an apply makes observed equal desired, as its plan has foretold, and the next is empty."""

    def __init__(self):
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.core = Core(Path(self.place.name) / "compose.yaml", pool="10.215.0.0/16")
        self.stack, self.volumes = Stack(name="p"), {}
        for name in ("i1", "i2"):
            self.move_image(name, "1")

    @initialize(stack=SOME)
    def begin(self, stack):
        self.stack = stack
        self._applied()

    @rule(stack=SOME)
    def declare(self, stack):
        self.stack = stack

    @rule(name=st.sampled_from(("i1", "i2")), content=st.sampled_from("123"))
    def move_image(self, name, content):
        data = layer(files=[("version", f"{name} {content}".encode())])
        command = {"Cmd": ["sleep", "600"], "StopSignal": "SIGKILL"}
        add_image(self.core.settings.state_root / "images", name, data, **command)

    @rule(number=st.integers(0, 20), harm=st.sampled_from(("end", "stop", "gone")))
    def drift(self, number, harm):
        with closing(NativeRuntime(self.core.settings)) as runtime:
            there = self._observed(runtime)
            containers = sorted((key for key in there if key.kind is Kind.CONTAINER), key=str)
            chosen = there[containers[number % len(containers)]] if containers else None
            if chosen and harm == "end" and chosen.status.pid:
                os.kill(chosen.status.pid, signal.SIGKILL)
                while self._observed(runtime)[chosen.id].status.exit_code is None:  # its monitor writes it
                    time.sleep(0.05)
            elif chosen and harm != "end":
                verb = Command("stop") if harm == "stop" else Command("remove", force=True)
                app.command(verb, [chosen.id.name], runtime, self.core.settings)

    @rule(number=st.integers(0, 20), what=st.sampled_from(("bridge FROM networks", "link FROM endpoints", "")))
    def cut_off(self, number, what):
        """A link goes, or all rules."""
        names = sorted(row[0] for row in self.core.query(f"SELECT {what}") if row[0]) if what else ()
        if names:
            subprocess.run(["ip", "link", "del", names[number % len(names)]], check=False, capture_output=True)
        elif not what:
            delete = ["nft", "delete", "table", "inet", self.core.settings.nft_table]
            subprocess.run(delete, check=False, capture_output=True)

    @rule(number=st.integers(0, 5))
    def fail(self, number):
        """An apply of which one container cannot start."""
        broken = list(self.stack.containers)
        chosen = broken[number % len(broken)]
        broken[number % len(broken)] = chosen.model_copy(update={"command": ("/none",)})
        with closing(NativeRuntime(self.core.settings)) as runtime:
            stack = self.stack.model_copy(update={"containers": tuple(broken)})
            _, outcome = app.converge(lambda: app.plan(stack, runtime), runtime, self.core.settings)
            assert outcome.failed

    @rule(after=st.integers(0, 16))
    def kill(self, after):
        """An apply whose process is no more at some event of its walk."""
        pid = os.fork()
        if pid == 0:
            try:
                self._apply_until(after)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)

    @rule()
    def apply(self):
        self._applied()

    def teardown(self):
        """The end is that of a host on which nothing was before."""
        try:
            if not self.stack.containers:
                return  # not begun
            reached = self._end()
            self._destroy()
            assert self.core.left() == []
            assert self._end() == reached
            self._destroy()
            assert self.core.left() == []
        finally:
            self.core.remove()
            self.place.cleanup()

    def _end(self):
        """Each declared resource as an apply leaves it, but for what is chosen anew by each making."""
        found = self._applied()
        return {
            key: (fields_of(item), item.status.state, item.image_digest, item.project, dict(item.defects))
            for key, item in found.items()
            if self.stack.find(key)
        }

    def _applied(self):
        with closing(NativeRuntime(self.core.settings)) as runtime:
            before = self._observed(runtime)
            checked = app.plan(self.stack, runtime)
            assert self._observed(runtime) == before, "a plan changed something"
            plan, outcome = app.converge(lambda: app.plan(self.stack, runtime), runtime, self.core.settings)
            outcome.raise_failure()
            assert (checked.steps, checked.noted) == (plan.steps, plan.noted)
            after = self._observed(runtime)
            as_foretold(plan, outcome, before, after, renewed={Kind.CONTAINER})
            again = app.plan(self.stack, runtime)
            assert [(str(step.resource), step.why, step.fields) for step in again.steps] == []
            assert not again.noted
        declared = {item.name for item in (*self.stack.containers, *self.stack.networks)}
        assert {key.name for key in after if key.kind in (Kind.CONTAINER, Kind.NETWORK)} == declared
        assert all(item.status.state in (State.RUNNING, State.READY) for item in after.values())
        held = {key: item.handle for key, item in after.items() if key.kind is Kind.VOLUME}
        assert {key: held.get(key) for key in self.volumes} == self.volumes, "a volume went, or was made anew"
        self.volumes = held
        return after

    def _destroy(self):
        with closing(NativeRuntime(self.core.settings)) as runtime:
            app.converge(lambda: app.plan_destroy("p", runtime, volumes=True), runtime, self.core.settings)[
                1
            ].raise_failure()
        self.volumes = {}

    def _observed(self, runtime):
        return dict(app.status("p", runtime).resources)

    def _apply_until(self, after):
        left = after

        def told(_):
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        runtime = NativeRuntime(self.core.settings)
        app.converge(lambda: app.plan(self.stack, runtime), runtime, self.core.settings, on_event=told)


def test_histories():
    run_state_machine_as_test(
        Histories,
        settings=settings(
            deadline=None,
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
