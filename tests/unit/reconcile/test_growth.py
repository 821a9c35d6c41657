"""A plan costs the same for each resource, however many there are: counted in calls, not in time."""

import sys
from functools import partial

import pytest

from bayplan.models import Container, Dependency, Kind, ResourceId, Stack, Volume, VolumeMount
from bayplan.reconcile.graph import needs_first
from bayplan.reconcile.planner import make_plan
from bayplan.runtime.fake import FakeRuntime
from bayplan.runtime.protocol import Scope, State


def stack(count):
    return Stack(
        name="p",
        volumes=tuple(Volume(name=f"v{number}") for number in range(count)),
        containers=tuple(
            Container(
                name=f"c{number}",
                image="i",
                mounts=(VolumeMount(source=f"v{number}", target="/v"),),
                depends_on=(Dependency(service=f"c{number - 1}"),) if number else (),
            )
            for number in range(count)
        ),
    )


def made(count, *, state=None):
    runtime, wanted = FakeRuntime(), stack(count)
    for item in (*wanted.volumes, *wanted.containers):
        runtime.create(item, project="p")
        if isinstance(item, Container):
            runtime.start(item.name)
            if state:
                runtime._set(item.name, state=state, exit_code=0)
    return runtime, wanted


def calls(work):
    count = 0

    def counted(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


SITUATIONS = {
    "nothing is there": lambda count: (FakeRuntime(), stack(count), None),
    "all is there": lambda count: (*made(count), None),
    "all have ended": lambda count: (*made(count, state=State.EXITED), None),
    "all goes": lambda count: (made(count)[0], Stack(name="p"), Scope(project="p")),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_plan_of_four_times_as_many_takes_four_times_as_many_calls(situation):
    found = []
    for count in (100, 400):
        runtime, wanted, scope = SITUATIONS[situation](count)
        found.append(calls(partial(make_plan, wanted, runtime, scope=scope)))
    assert found[1] < 4.5 * found[0]


def test_a_chain_of_needs_may_be_longer_than_the_stack_is_deep():
    items = [ResourceId(kind=Kind.CONTAINER, name=str(number)) for number in range(5000)]
    edges = {item: items[number + 1 : number + 2] for number, item in enumerate(items)}
    assert needs_first(edges) == items[::-1]
