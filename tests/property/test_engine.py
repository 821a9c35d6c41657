"""The engine against any declaration and any earlier state, on the fake runtime."""

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.errors import RuntimeFailureError
from bayplan.reconcile.apply import apply_plan
from bayplan.reconcile.planner import make_plan
from bayplan.record.journal import Journal
from bayplan.runtime.fake import FakeRuntime
from bayplan.runtime.protocol import State
from property.checks import as_foretold
from property.declarations import CUTS, pairs, stacks


def run(runtime, stack):
    with tempfile.TemporaryDirectory() as directory:
        journal = Journal(Path(directory) / "r.db")
        plan = make_plan(stack, runtime)
        outcome = apply_plan(plan, runtime, journal, workers=2)
        journal.close()
    return plan, outcome


def damage(runtime, stack, draw):
    """Containers end, or lose a part, as drawn.

    Drawn for every declared resource: which of them a cut run has made depends on the order of its threads.
    """
    for declared in stack.resources():
        what = draw.draw(st.sampled_from(("", "", "in-place", "end", "restart")), label=str(declared.id))
        item = runtime.resources.get(declared.id)
        if item is None or not what:
            continue
        running = item.status.state is State.RUNNING
        if what == "end" and running:
            runtime._set(declared.name, state=State.EXITED, exit_code=1)
        elif what == "in-place" or (what == "restart" and running):
            runtime.resources[declared.id] = item.model_copy(update={"defects": {"a part is gone": what}})


@settings(deadline=None, max_examples=80)
@given(pair=pairs(), cut=CUTS, draw=st.data())
def test_any_start_reaches_the_declaration_and_stays(pair, cut, draw):
    first, second = pair
    runtime = FakeRuntime()
    runtime.fail = {draw.draw(CUTS): "cut"}
    run(runtime, first)
    damage(runtime, first, draw)
    runtime.fail = {cut: "cut"}
    with suppress(RuntimeFailureError):  # raised when a record cannot be brought up to date before the first step
        run(runtime, second)
    runtime.fail = {}
    plan, outcome = run(runtime, second)
    outcome.raise_failure()
    assert {step.resource for step in outcome.done} == {step.resource for step in plan.steps}
    assert runtime.matches(second)
    after = make_plan(second, runtime)
    assert not after.changed
    assert not after.noted
    left = {key.name for key, item in runtime.resources.items() if item.actual.kind.value in ("container", "network")}
    assert left == {item.name for item in (*second.containers, *second.networks)}


@settings(deadline=None, max_examples=80)
@given(pair=pairs(), draw=st.data())
def test_what_is_planned_is_what_is_done_field_for_field(pair, draw):
    first, second = pair
    runtime = FakeRuntime()
    run(runtime, first)
    damage(runtime, first, draw)
    before = dict(runtime.resources)
    plan, outcome = run(runtime, second)
    as_foretold(plan, outcome, before, runtime.resources)


@settings(deadline=None, max_examples=30)
@given(stack=stacks(), depends=st.data())
def test_an_edit_that_only_guides_the_order_is_recorded_and_nothing_else(stack, depends):
    runtime = FakeRuntime()
    run(runtime, stack)
    edited = stack.model_copy(
        update={
            "containers": tuple(
                item.model_copy(
                    update={"expose": depends.draw(st.sampled_from(((), ("1",), ("9",)))), "depends_on": ()}
                )
                for item in stack.containers
            )
        }
    )
    before = {key: (item.handle, item.status) for key, item in runtime.resources.items()}
    plan, outcome = run(runtime, edited)
    assert not plan.changed
    assert not outcome.changed
    assert {key: (item.handle, item.status) for key, item in runtime.resources.items()} == before
    assert runtime.matches(edited)
