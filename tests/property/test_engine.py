"""The engine against any declaration and any earlier state, on the fake runtime."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.models import Container, Dependency, Endpoint, Network, Stack, VolumeMount
from bayplan.models import Volume as VolumeModel
from bayplan.reconcile.apply import apply_plan
from bayplan.reconcile.planner import make_plan
from bayplan.record.journal import Journal
from bayplan.runtime.fake import FakeRuntime

NAMES = ("a", "b", "c", "d")


@st.composite
def stacks(draw) -> Stack:
    networks = draw(st.lists(st.sampled_from(("n1", "n2")), unique=True))
    volumes = draw(st.lists(st.sampled_from(("v1", "v2")), unique=True))
    containers = []
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    for number, name in enumerate(names):
        containers.append(
            Container(
                name=name,
                service=name,
                image=draw(st.sampled_from(("i1", "i2"))),
                user=draw(st.sampled_from((None, "1", "2"))),
                environment=draw(st.dictionaries(st.sampled_from(("X", "Y")), st.sampled_from(("1", "2")))),
                labels=draw(st.dictionaries(st.sampled_from(("l", "m")), st.sampled_from(("1", "2")))),
                networks=[Endpoint(network=item) for item in networks if draw(st.booleans())],
                mounts=[VolumeMount(source=v, target=f"/{v}") for v in volumes if draw(st.booleans())],
                depends_on=[Dependency(service=other) for other in names[:number] if draw(st.booleans())],
            )
        )
    return Stack(
        name="p",
        networks=tuple(Network(name=item, internal=draw(st.booleans())) for item in networks),
        volumes=tuple(VolumeModel(name=item) for item in volumes),
        containers=tuple(containers),
    )


def run(runtime, stack):
    with tempfile.TemporaryDirectory() as directory:
        journal = Journal(Path(directory) / "r.db")
        plan = make_plan(stack, runtime)
        outcome = apply_plan(plan, runtime, journal, workers=2)
        journal.close()
    return plan, outcome


@settings(deadline=None, max_examples=60)
@given(first=stacks(), second=stacks(), broken=st.sampled_from(("", *NAMES)), verb=st.sampled_from(("create", "start")))
def test_any_start_reaches_the_declaration_and_stays(first, second, broken, verb):
    runtime = FakeRuntime()
    run(runtime, first)
    runtime.fail = {f"{verb} {broken}": "cut"} if broken else {}
    run(runtime, second)
    runtime.fail = {}
    plan, outcome = run(runtime, second)
    outcome.raise_failure()
    assert {step.resource for step in outcome.done} == {step.resource for step in plan.steps}
    assert runtime.matches(second)
    assert not make_plan(second, runtime).changed
    left = {key.name for key, item in runtime.resources.items() if item.actual.kind.value in ("container", "network")}
    assert left == {item.name for item in (*second.containers, *second.networks)}
