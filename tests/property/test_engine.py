"""The engine against any declaration and any earlier state, on the fake runtime."""

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.errors import RuntimeFailureError
from bayplan.models import Container, Dependency, Duration, Endpoint, Network, Port, Stack, UpdateConfig, VolumeMount
from bayplan.models import Volume as VolumeModel
from bayplan.reconcile.apply import apply_plan
from bayplan.reconcile.plan import Action
from bayplan.reconcile.planner import make_plan
from bayplan.record.journal import Journal
from bayplan.runtime.fake import FakeRuntime
from bayplan.runtime.protocol import State

NAMES = ("a", "b", "c", "d")
STOP_FIRST = UpdateConfig(monitor=Duration())
START_FIRST = UpdateConfig(monitor=Duration(), order="start-first")
MADE_ANEW = {Action.CREATE, Action.RECREATE, Action.DELETE}


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
                service=draw(st.sampled_from((name, ""))),
                image=draw(st.sampled_from(("i1", "i2"))),
                user=draw(st.sampled_from((None, "1", "2"))),
                environment=draw(st.dictionaries(st.sampled_from(("X", "Y")), st.sampled_from(("1", "2")))),
                labels=draw(st.dictionaries(st.sampled_from(("l", "m")), st.sampled_from(("1", "2")))),
                ports=[Port(target=80, published=8000 + NAMES.index(name))] if draw(st.booleans()) else [],
                expose=draw(st.sampled_from(((), ("1",), ("2",)))),
                networks=[Endpoint(network=item) for item in networks if draw(st.booleans())],
                mounts=[VolumeMount(source=v, target=f"/{v}") for v in volumes if draw(st.booleans())],
                update_config=draw(st.sampled_from((None, None, STOP_FIRST, START_FIRST))),
                depends_on=[
                    Dependency(service=other, restart=draw(st.booleans()))
                    for other in names[:number]
                    if draw(st.booleans())
                ],
            )
        )
    return Stack(
        name="p",
        networks=tuple(Network(name=item, internal=draw(st.booleans())) for item in networks),
        volumes=tuple(VolumeModel(name=item) for item in volumes),
        containers=tuple(containers),
    )


@st.composite
def pairs(draw) -> tuple[Stack, Stack]:
    """A stack and what becomes of it: another one, or the same with some containers edited or gone."""
    first, other = draw(stacks()), draw(stacks())
    if draw(st.sampled_from((False, False, False, True))):
        return first, other
    fresh = {item.name: item for item in other.containers}
    kept = []
    for item in first.containers:
        fields = draw(st.lists(st.sampled_from((*FREE_FIELDS, "gone")), max_size=2, unique=True))
        source = fresh.get(item.name)
        if "gone" not in fields:
            kept.append(item.model_copy(update={name: getattr(source, name) for name in fields}) if source else item)
    services = {item.service for item in kept}
    kept = [
        item.model_copy(update={"depends_on": tuple(d for d in item.depends_on if d.service in services)})
        for item in kept
    ]
    networks = tuple(
        item.model_copy(update={"internal": draw(st.sampled_from((item.internal,) * 3 + (not item.internal,)))})
        for item in first.networks
    )
    return first, first.model_copy(update={"containers": tuple(kept), "networks": networks})


FREE_FIELDS = ("image", "user", "environment", "labels", "expose", "ports", "update_config")
"""Fields that can be taken over from a container of another stack."""
CUTS = st.sampled_from(
    (
        "",
        *(f"{verb} {name}" for verb in ("create", "start", "update", "heal", "stop", "take_over") for name in NAMES),
        *(f"{verb} {name}.successor" for verb in ("create", "start", "delete") for name in NAMES),
        *(f"{verb} {name}.superseded" for verb in ("drain", "delete") for name in NAMES),
    )
)


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


def apart(name, one, other):
    """Whether two values of a field differ, in more than the order of what has none."""
    if name in ("mounts", "ports"):
        return sorted(map(repr, one)) != sorted(map(repr, other))
    return one != other


def fields_of(item):
    return {name: getattr(item.actual, name) for name in type(item.actual).model_fields}


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
    assert [step.resource for step in outcome.done] == sorted(
        (step.resource for step in plan.steps), key=[step.resource for step in outcome.done].index
    )
    steps = {step.resource: step for step in plan.steps}
    noted = {note.resource: {item.path.partition("[")[0] for item in note.fields} for note in plan.noted}
    for key in {*before, *runtime.resources}:
        old, new = before.get(key), runtime.resources.get(key)
        step = steps.get(key)
        foretold = {item.path.partition("[")[0] for item in step.fields} if step else noted.get(key, set())
        if old is None or new is None:
            assert step is not None or (old and old.superseded), key
            assert step.action in MADE_ANEW, key
            continue
        changed = {name for name, value in fields_of(new).items() if apart(name, value, getattr(old.actual, name))}
        assert changed == foretold, key
        assert (old.handle != new.handle) == (step is not None and step.action in MADE_ANEW), key
        if step is None:
            assert old.status == new.status, key


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
