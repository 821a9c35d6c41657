"""The walk over a plan's steps: order, bound, and what a failure or a stop leaves."""

import threading

import pytest

from bayplan.errors import RuntimeFailureError, StoppedError
from bayplan.models import Duration, Kind, ResourceId
from bayplan.reconcile.plan import Action, Roll, Step
from bayplan.reconcile.walk import Phase, Walk


def named(name):
    return ResourceId(kind=Kind.CONTAINER, name=name)


def step(name, *needs):
    return Step(resource=named(name), action=Action.CREATE, why="", needs=tuple(map(named, needs)))


class Executor:
    """Runs ``work`` for each step's name."""

    def __init__(self, work=lambda name: None):
        self.stop, self.work, self.order = threading.Event(), work, []
        self.halted = threading.Event()

    def ends(self):
        return self.stop.is_set() or self.halted.is_set()

    def execute(self, step):
        if self.stop.is_set():
            raise StoppedError("stopped")
        self.order.append(step.resource.name)
        self.work(step.resource.name)


def walked(steps, executor, workers=2):
    told = []
    walk = Walk(executor, told.append, workers)
    walk.run(steps)
    return walk, [(item.step.resource.name, item.phase) for batch in told for item in batch]


def test_a_step_begins_after_all_it_needs():
    executor = Executor()
    walk, _ = walked([step("c", "a", "b"), step("b", "a"), step("a", "not-in-this-plan")], executor)
    assert executor.order == ["a", "b", "c"]
    assert [item.resource.name for item in walk.done] == ["a", "b", "c"]


def test_no_more_run_than_there_are_workers_and_no_more_are_told_to_have_started():
    running, most, lock, both = 0, 0, threading.Lock(), threading.Barrier(2, timeout=30)

    def work(name):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait()
        with lock:
            running -= 1

    _, told = walked([step(str(number)) for number in range(8)], Executor(work))
    assert most == 2
    started = 0
    for _, phase in told:
        started += {Phase.STARTED: 1, Phase.DONE: -1}[phase]
        assert started <= 2


def test_after_a_failure_nothing_begins_and_what_runs_comes_to_its_end():
    failed = threading.Event()

    def work(name):
        if name == "bad":
            failed.set()
            raise RuntimeFailureError("no")
        assert failed.wait(30)

    executor = Executor(work)
    walk, told = walked([step("bad"), step("long"), step("later", "bad"), step("other", "long")], executor)
    assert [item.resource.name for item, _ in walk.failed] == ["bad"]
    assert [item.resource.name for item in walk.done] == ["long"]
    assert {item.resource.name for item in walk.skipped} == {"later", "other"}
    assert ("later", Phase.SKIPPED) in told
    assert ("other", Phase.SKIPPED) in told


def rolled(name, action, may_fail=0):
    times = {"delay": Duration(), "monitor": Duration(), "lot": 1, "lots": 1}
    roll = Roll(service="s", order="stop-first", failure_action=action, may_fail=may_fail, **times)
    return step(name).model_copy(update={"roll": roll})


def refuse(*names):
    def work(name):
        if name in names:
            raise RuntimeFailureError("no")

    return Executor(work)


@pytest.mark.parametrize(("action", "may_fail"), [("continue", 0), ("pause", 2), ("rollback", 2)])
def test_others_go_on_after_failures_that_their_service_allows(action, may_fail):
    executor = refuse("a", "b")
    steps = [rolled("a", action, may_fail), rolled("b", action, may_fail), step("c", "a", "b")]
    walk, _ = walked(steps, executor, workers=1)
    assert [item.resource.name for item, _ in walk.failed] == ["a", "b"]
    assert [item.resource.name for item in walk.done] == ["c"]
    assert not walk.halted
    assert not executor.halted.is_set()


@pytest.mark.parametrize("action", ["pause", "rollback"])
def test_one_failure_too_many_halts_the_walk(action):
    executor = refuse("a", "b")
    walk, _ = walked([rolled("a", action, 1), rolled("b", action, 1), step("c", "b")], executor, workers=1)
    assert [item.resource.name for item in walk.skipped] == ["c"]
    assert walk.halted
    assert executor.halted.is_set()


def test_a_stop_begins_nothing_more_and_says_what_was_not_begun():
    """Fault row 21."""
    executor = Executor()
    executor.work = lambda name: executor.stop.set()
    walk, told = walked([step("a"), step("b", "a")], executor)
    assert [item.resource.name for item in walk.done] == ["a"]
    assert [item.resource.name for item in walk.skipped] == ["b"]
    assert told[-1] == ("b", Phase.SKIPPED)


def test_a_step_that_was_not_begun_for_a_stop_is_skipped_once():
    executor = Executor()
    executor.execute = lambda step: (_ for _ in ()).throw(StoppedError("stopped"))
    walk, told = walked([step("a")], executor)
    assert [item.resource.name for item in walk.skipped] == ["a"]
    assert told == [("a", Phase.STARTED), ("a", Phase.SKIPPED)]


def test_thousands_of_steps_are_walked_without_a_search():
    steps = [step("0")] + [step(str(number), str(number // 2)) for number in range(1, 3000)]
    walk, told = walked(steps, Executor(), workers=8)
    assert len(walk.done) == 3000
    assert len(told) == 6000
