"""What other tools made, and engines that show effects, change some limits only, or spell things in their own way."""

import pytest

from bayplan.errors import ConflictError
from bayplan.models import Change, Container, Kind, ResourceId, Stack
from bayplan.reconcile import render
from bayplan.reconcile.apply import apply_plan
from bayplan.reconcile.diff import compare
from bayplan.reconcile.plan import Action
from bayplan.reconcile.planner import make_plan
from bayplan.record.journal import Journal
from bayplan.runtime.fake import FakeRuntime
from bayplan.runtime.protocol import Facts, Observed, State, Status

WEB = ResourceId(kind=Kind.CONTAINER, name="web")


def container(**values):
    return Container.model_validate({"name": "web", "image": "i", **values})


def stack(project="", **values):
    return Stack.model_validate({"name": project, "images": [{"name": "i"}], "containers": [container(**values)]})


def found(runtime, project="", **values):
    """A running container that another tool made."""
    image = runtime.resolve(stack().images[0]).digest
    status = Status(state=State.RUNNING)
    runtime.resources[WEB] = Observed(
        actual=container(**values), status=status, project=project, managed=False, handle="h", image_digest=image
    )
    runtime.local_images["i"] = image


@pytest.fixture
def journal(tmp_path):
    held = Journal(tmp_path / "record.db")
    yield held
    held.close()


@pytest.mark.parametrize("project", ["", "shop"])
def test_what_is_just_as_declared_is_recorded_and_not_touched(project, journal):
    runtime = FakeRuntime()
    found(runtime, project, tty=True)
    plan = make_plan(stack(project, tty=True), runtime)
    assert plan.steps == ()
    assert "Taken over: container web, as it is." in render.as_text(plan)
    apply_plan(plan, runtime, journal).raise_failure()
    assert runtime.calls == ["update web"]
    assert runtime.resources[WEB].declared == container(tty=True)


def test_what_belongs_to_nobody_and_is_another_is_refused():
    runtime = FakeRuntime()
    found(runtime)
    with pytest.raises(ConflictError, match="belongs to another tool or no project"):
        make_plan(stack(tty=True), runtime)


def test_what_has_the_labels_of_the_project_is_changed_to_what_is_declared():
    runtime = FakeRuntime()
    found(runtime, "shop")
    (step,) = make_plan(stack("shop", tty=True), runtime).steps
    assert step.action is Action.RECREATE
    with pytest.raises(ConflictError, match="belongs to shop"):
        make_plan(stack("other", tty=True), runtime)


def test_what_is_not_ours_is_neither_removed_by_name_nor_for_not_being_declared():
    runtime = FakeRuntime()
    found(runtime, "shop")
    assert make_plan(Stack(name="shop"), runtime).steps == ()
    with pytest.raises(ConflictError, match="was not made by Bayplan"):
        make_plan(Stack(name="shop"), runtime, absent=[WEB])


def test_another_spelling_of_the_same_is_no_difference():
    class Spelled(FakeRuntime):
        def aligned(self, desired, observed):
            actual = observed.actual.model_copy(update={"user": desired.user})
            return observed.model_copy(update={"actual": actual}) if observed.actual.user == "0" else observed

    runtime = Spelled()
    found(runtime, "shop", user="0")
    assert make_plan(stack("shop", user="root"), runtime).steps == ()


PARTS = Facts(
    engine="e",
    version="1",
    host="h",
    in_place=frozenset({"resources.memory", "resources.pids"}),
    resets=frozenset({"resources.pids"}),
)
WAYS = [
    ({"memory": "1m"}, {"memory": "2m"}, Change.IN_PLACE),
    ({"pids": 5}, {}, Change.IN_PLACE),
    ({"memory": "1m", "pids": 5}, {"memory": "2m"}, Change.IN_PLACE),
    ({"memory": "1m"}, {"pids": 1}, Change.RECREATE),
    ({"memory": "1m"}, {"memory": "1m", "cpus": 1}, Change.RECREATE),
]


@pytest.mark.parametrize(("before", "after", "way"), WAYS, ids=str)
def test_parts_of_a_field_are_changed_as_far_as_the_engine_can(before, after, way):
    there = container(resources=before)
    seen = Observed(actual=there, declared=there, status=Status(state=State.RUNNING))
    changes = compare(container(resources=after, tty=False), seen, PARTS)
    assert {change.how for change in changes} == {way}
