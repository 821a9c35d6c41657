"""Any service replaced by any update_config, with any of its containers failing, on the fake runtime."""

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan import app
from bayplan.app import recovery
from bayplan.models import Container, Duration, RollbackPolicy, Settings, Stack, UpdateConfig
from bayplan.reconcile import taking_back
from bayplan.reconcile.walk import Phase
from bayplan.runtime.fake import FakeRuntime
from bayplan.runtime.protocol import State

NOW = Duration()
ORDERS = st.sampled_from(("stop-first", "start-first"))


@st.composite
def updates(draw):
    """How many there are, how they are replaced, and which of their successors do not start."""
    count = draw(st.integers(1, 7))
    config = UpdateConfig(
        parallelism=draw(st.integers(0, 8)),
        monitor=draw(st.sampled_from((NOW, Duration(seconds=1)))),
        order=draw(ORDERS),
        failure_action=draw(st.sampled_from(("pause", "continue", "rollback"))),
        max_failure_ratio=draw(st.sampled_from((0.0, 0.3, 0.5, 1.0))),
        rollback=draw(st.sampled_from((None, RollbackPolicy(monitor=NOW, parallelism=0, order=draw(ORDERS))))),
    )
    failing = draw(st.sets(st.integers(1, count)))
    return count, config, failing


def stack(count, config, word, other="steady"):
    containers = [
        Container(name=f"p-web-{n}", service="web", image="i", environment={"W": word}, update_config=config)
        for n in range(1, count + 1)
    ]
    first = Container(name="p-a-1", service="a", image="i", environment={"W": other})
    return Stack(name="p", containers=(first, *containers))


def words(runtime):
    return {key.name: item.actual.environment["W"] for key, item in runtime.resources.items()}


def updated(drawn, *, on_failure, other="steady"):
    """Update a service; what is then there, and what happened in which order."""
    count, config, failing = drawn
    runtime, told = FakeRuntime(), []
    with tempfile.TemporaryDirectory() as directory:
        host = Settings(state_root=Path(directory), on_failure=on_failure)
        app.converge(lambda: app.plan(stack(count, config, "old"), runtime), runtime, host)[1].raise_failure()
        spare = ".successor" if config.order == "start-first" else ""
        runtime.fail = {f"start p-web-{n}{spare}": "it does not start" for n in failing}
        plan, outcome, back = recovery.converge(
            lambda: app.plan(stack(count, config, "new", other), runtime),
            runtime,
            host,
            on_event=lambda event: told.append((event.step.resource.name, event.phase)),
        )
        runtime.fail = {}
        found, states = words(runtime), {item.status.state for item in runtime.resources.values()}
        _again, ended = app.converge(lambda: app.plan(stack(count, config, "new", other), runtime), runtime, host)
        ended.raise_failure()
        assert set(words(runtime).values()) <= {"new", other}
        assert not app.plan(stack(count, config, "new", other), runtime).changed
    assert states == {State.RUNNING}
    return plan, outcome, back, found, told


@settings(deadline=None, max_examples=50)
@given(drawn=updates())
def test_lots_failures_and_what_is_then_there_are_as_declared(drawn):
    count, config, failing = drawn
    plan, outcome, back, found, told = updated(drawn, on_failure="keep")
    size = config.parallelism or count
    lots = [{f"p-web-{n}" for n in range(at, min(at + size, count + 1))} for at in range(1, count + 1, size)]
    assert [{step.resource.name for step in plan.steps if step.roll.lot == n + 1} for n in range(len(lots))] == lots
    running, at_once = Counter(), 0
    for name, phase in told:
        lot = next(number for number, names in enumerate(lots) if name in names)
        running[lot] += {Phase.STARTED: 1, Phase.DONE: -1, Phase.FAILED: -1, Phase.SKIPPED: 0}[phase]
        at_once = max(at_once, sum(running.values()))
        assert len([one for one in running.values() if one]) <= 1 or back, "two lots at a time"
        if name not in words_of(failing) and back:
            break  # from here on it goes back
    assert at_once <= size
    bad = words_of(failing)
    tolerated = int(config.max_failure_ratio * count)
    stops = len(bad) > tolerated and config.failure_action != "continue"
    assert outcome.halted is stops
    assert {step.resource.name for step, _ in outcome.failed} <= bad
    if not stops:
        assert {name for name, word in found.items() if word == "old"} == bad
        assert back is None
    elif config.failure_action == "pause":
        done = {step.resource.name for step in outcome.done}
        assert {name for name, word in found.items() if word == "new"} == done
        halted = max(
            next(n for n, names in enumerate(lots) if step.resource.name in names) for step, _ in outcome.failed
        )
        assert not done & set().union(*lots[halted + 1 :], set())
        assert back is None
    else:
        assert (back is not None) is bool(outcome.done)
        assert back is None or back.error is None
        assert taking_back.services(outcome) == ("web",)
        assert set(found.values()) == {"old", "steady"}


def words_of(failing):
    return {f"p-web-{n}" for n in failing}


@settings(deadline=None, max_examples=25)
@given(drawn=updates())
def test_a_stack_that_fails_on_the_way_is_as_the_generation_before(drawn):
    _plan, outcome, back, found, _told = updated(drawn, on_failure="rollback", other="changed")
    if outcome.halted:
        assert str(back) == "rolled back to generation 1"
        assert set(found.values()) == {"old", "steady"}
    else:
        assert back is None
        assert found["p-a-1"] == "changed"
