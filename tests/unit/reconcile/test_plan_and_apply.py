import pytest

from bayplan.errors import (
    ConflictError,
    DeclarationError,
    NotFoundError,
    RuntimeFailureError,
    StalePlanError,
    UnsupportedError,
)
from bayplan.models import Build, Container, Image, Kind, Network, ResourceId, Stack, Volume
from bayplan.reconcile import one_off, render
from bayplan.reconcile.apply import apply_plan
from bayplan.reconcile.plan import Action
from bayplan.reconcile.planner import make_plan
from bayplan.record.journal import Journal
from bayplan.runtime.fake import FakeRuntime
from bayplan.runtime.protocol import Scope


@pytest.fixture
def journal(tmp_path):
    held = Journal(tmp_path / "record.db")
    yield held
    held.close()


def stack(**changes) -> Stack:
    """Three services on two networks, in the shape of the demo."""
    web = {"environment": {"GREETING": "hello"}, "depends_on": [{"service": "store", "condition": "service_healthy"}]}
    web.update(changes.pop("web", {}))
    values = {
        "name": "demo",
        "images": [{"name": "nginx"}, {"name": "app"}, {"name": "redis"}],
        "networks": [{"name": "demo_front"}, {"name": "demo_back", "internal": True}],
        "volumes": [{"name": "demo_data"}],
        "containers": [
            {
                "name": "demo-store-1",
                "service": "store",
                "image": "redis",
                "networks": [{"network": "demo_back"}],
                "mounts": [{"type": "volume", "source": "demo_data", "target": "/data"}],
                "healthcheck": {"test": ["CMD", "true"]},
            },
            {
                "name": "demo-web-1",
                "service": "web",
                "image": "app",
                "networks": [{"network": "demo_back"}, {"network": "demo_front"}],
                **web,
            },
            {
                "name": "demo-front-1",
                "service": "front",
                "image": "nginx",
                "networks": [{"network": "demo_front"}],
                "ports": [{"target": 80, "published": 8080, "host_ip": "127.0.0.1"}],
                "depends_on": [{"service": "web"}],
            },
        ],
    }
    values.update(changes)
    return Stack.model_validate(values)


def applied(runtime, journal, wanted):
    plan = make_plan(wanted, runtime)
    outcome = apply_plan(plan, runtime, journal)
    outcome.raise_failure()
    return plan


def test_first_apply_makes_everything_and_second_nothing(journal):
    runtime = FakeRuntime()
    plan = applied(runtime, journal, stack())
    assert len(plan.steps) == 9
    assert runtime.matches(stack())
    calls = len(runtime.calls)
    second = make_plan(stack(), runtime)
    assert not second.changed
    assert len(second.unchanged) == 9
    assert not apply_plan(second, runtime, journal).changed
    assert len(runtime.calls) == calls


def test_order_follows_dependencies(journal):
    runtime = FakeRuntime()
    applied(runtime, journal, stack())
    at = runtime.calls.index
    assert at("create demo_back") < at("create demo-store-1")
    assert at("start demo-store-1") < at("create demo-web-1") < at("start demo-web-1") < at("create demo-front-1")


def test_there_is_no_downtime_of_what_does_not_run(journal):
    runtime = FakeRuntime()
    applied(runtime, journal, stack())
    runtime.stop("demo-web-1")
    (step,) = make_plan(stack(web={"environment": {"GREETING": "bonjour"}}), runtime).steps
    assert (step.action, step.risks) == (Action.RECREATE, ())


def test_one_edit_replaces_one_service_and_says_why(journal):
    runtime = FakeRuntime()
    applied(runtime, journal, stack())
    plan = make_plan(stack(web={"environment": {"GREETING": "bonjour"}}), runtime)
    assert [(step.resource.name, step.action) for step in plan.steps] == [("demo-web-1", Action.RECREATE)]
    (change,) = plan.steps[0].fields
    assert (change.path, change.before, change.after) == ("environment[GREETING]", "hello", "bonjour")
    assert "declaration changed" in change.why
    text = render.as_text(plan)
    assert "environment[GREETING]: 'hello' -> 'bonjour'" in text
    assert "downtime" in text
    runtime.calls.clear()
    apply_plan(plan, runtime, journal).raise_failure()
    assert runtime.calls == [
        "supersede demo-web-1",
        "create demo-web-1",
        "start demo-web-1",
        "delete demo-web-1.superseded",
    ]
    assert not make_plan(stack(web={"environment": {"GREETING": "bonjour"}}), runtime).changed


def test_a_failed_replacement_brings_the_old_container_back(journal):
    runtime = FakeRuntime()
    applied(runtime, journal, stack())
    old = runtime.resources[ResourceId(kind=Kind.CONTAINER, name="demo-web-1")].handle
    runtime.fail = {"start demo-web-1": "exec format error"}
    outcome = apply_plan(make_plan(stack(web={"command": ["x"]}), runtime), runtime, journal)
    with pytest.raises(RuntimeFailureError, match="exec format error"):
        outcome.raise_failure()
    assert runtime.resources[ResourceId(kind=Kind.CONTAINER, name="demo-web-1")].handle == old


def test_a_failure_skips_what_depends_on_it(journal):
    runtime = FakeRuntime(fail={"create demo-store-1": "no space"})
    outcome = apply_plan(make_plan(stack(), runtime), runtime, journal)
    assert [step.resource.name for step, _ in outcome.failed] == ["demo-store-1"]
    assert {step.resource.name for step in outcome.skipped} >= {"demo-web-1", "demo-front-1"}
    runtime.fail.clear()
    applied(runtime, journal, stack())
    assert runtime.matches(stack())


def test_limits_change_in_place(journal):
    runtime = FakeRuntime()
    applied(runtime, journal, stack())
    plan = applied(runtime, journal, stack(web={"resources": {"memory": "64m"}, "environment": {"GREETING": "hello"}}))
    (step,) = plan.steps
    assert step.action is Action.UPDATE
    assert step.fields[0].path == "resources[memory]"
    assert step.fields[0].after == "64MiB"


def test_removed_option_goes_back_to_its_default(journal):
    runtime = FakeRuntime()
    applied(runtime, journal, stack(web={"user": "1000"}))
    (step,) = make_plan(stack(), runtime).steps
    assert step.fields[0].path == "user"
    assert "removed from the declaration" in step.fields[0].why


def test_secret_looking_values_are_masked(journal):
    runtime = FakeRuntime()
    applied(runtime, journal, stack(web={"environment": {"DB_PASSWORD": "old-one"}}))
    plan = make_plan(stack(web={"environment": {"DB_PASSWORD": "new-one"}}), runtime)
    everything = render.as_text(plan) + str(render.as_json(plan)) + "".join(render.before_after(plan))
    assert "environment[DB_PASSWORD]" in everything
    assert "old-one" not in everything
    assert "new-one" not in everything


def test_an_undeclared_service_leaves_and_its_volume_stays(journal):
    runtime = FakeRuntime()
    applied(runtime, journal, stack())
    smaller = Stack(name="demo", containers=(), networks=(), volumes=())
    plan = make_plan(smaller, runtime)
    assert {step.action for step in plan.steps} == {Action.DELETE}
    assert "volume demo_data" in plan.kept[0]
    apply_plan(plan, runtime, journal).raise_failure()
    assert [key.kind for key in runtime.resources] == [Kind.VOLUME]
    at = runtime.calls.index
    assert at("delete demo-front-1") < at("delete demo-web-1") < at("delete demo-store-1") < at("delete demo_back")


def test_a_moved_world_is_refused(journal):
    runtime = FakeRuntime()
    plan = make_plan(stack(), runtime)
    applied(runtime, journal, stack(web={"user": "7"}))
    calls = list(runtime.calls)
    with pytest.raises(StalePlanError):
        apply_plan(plan, runtime, journal)
    assert runtime.calls == calls


def test_network_recreation_takes_its_containers_along(journal):
    runtime = FakeRuntime()
    applied(runtime, journal, stack())
    moved = stack(networks=[{"name": "demo_front"}, {"name": "demo_back", "internal": False}])
    plan = applied(runtime, journal, moved)
    actions = {step.resource.name: step.action for step in plan.steps}
    users = dict.fromkeys(("demo-store-1", "demo-web-1"), Action.UPDATE)
    assert actions == {"demo_back": Action.RECREATE, **users}
    (step,) = [step for step in plan.steps if step.resource.kind is Kind.NETWORK]
    assert step.risks == ("downtime: demo-store-1, demo-web-1 are without it for a moment",)
    assert runtime.matches(moved)
    assert not make_plan(moved, runtime).changed


def test_what_is_taken_off_a_network_comes_back_though_nothing_declares_it(journal):
    runtime = FakeRuntime()
    applied(runtime, journal, stack())
    single = one_off.container(stack(), "store", {"name": "demo-single"}, aliases=False, ports=False)
    runtime.create(single, project="demo")
    runtime.start("demo-single")
    moved = stack(networks=[{"name": "demo_front"}, {"name": "demo_back", "internal": False}])
    plan = applied(runtime, journal, moved)
    assert single.id in plan.step(Kind.NETWORK, "demo_back").displaces
    assert runtime.resources[single.id].actual.networks == single.networks


def test_a_namespace_that_others_share_is_not_there_twice():
    shared = Stack(
        name="p",
        containers=(
            Container(name="a", image="x", update_config={"order": "start-first"}),
            Container(name="b", image="x", network_mode="container:a"),
        ),
    )
    with pytest.raises(UnsupportedError, match="container b shares a namespace of it"):
        make_plan(shared, FakeRuntime())


def test_a_policy_of_replacement_is_noted_and_shown(journal):
    runtime = FakeRuntime()
    applied(runtime, journal, stack())
    config = {"order": "start-first", "monitor": "3s"}
    noted = make_plan(stack(web={"update_config": config}), runtime)
    assert not noted.changed
    assert [str(note.resource) for note in noted.noted] == ["container demo-web-1"]
    changed = make_plan(stack(web={"update_config": config, "environment": {"GREETING": "good day"}}), runtime)
    text = render.as_text(changed)
    assert "start-first, watched for 3s" in text
    assert "downtime" not in text


def test_what_others_own_is_never_touched(journal):
    runtime = FakeRuntime()
    other = Stack(name="other", containers=(Container(name="demo-web-1", image="x"),))
    applied(runtime, journal, other)
    with pytest.raises(ConflictError, match="belongs to other"):
        make_plan(stack(), runtime)


def test_cycle_is_printed():
    loop = Stack(
        name="loop",
        containers=(
            Container(name="a", image="x", depends_on=[{"service": "b"}]),
            Container(name="b", image="x", depends_on=[{"service": "a"}]),
        ),
    )
    with pytest.raises(DeclarationError, match=r"container a -> container b -> container a|container b -> container a"):
        make_plan(loop, FakeRuntime())


def test_refusals_come_before_any_change(journal):
    runtime = FakeRuntime(registry={"nginx": "sha256:" + "0" * 64})
    with pytest.raises(NotFoundError, match="app"):
        make_plan(stack(), runtime)
    with pytest.raises(NotFoundError, match="external network"):
        make_plan(Stack(name="x", networks=(Network(name="n", external=True),)), FakeRuntime())
    assert runtime.calls == []


def test_moved_tag_replaces(journal):
    runtime = FakeRuntime(registry={"app": "sha256:" + "1" * 64})
    one = Stack(name="p", images=(Image(name="app"),), containers=(Container(name="c", image="app"),))
    applied(runtime, journal, one)
    runtime.registry["app"] = "sha256:" + "2" * 64
    plan = applied(runtime, journal, one)
    assert {step.action for step in plan.steps} == {Action.PULL, Action.RECREATE}
    assert not make_plan(one, runtime).changed


def built(**args):
    image = Image(name="app", build=Build(context="/c", args=args))
    return Stack(name="p", images=(image,), containers=(Container(name="c", image="app"),))


def test_a_build_is_planned_once_and_replaces_what_runs_from_it(journal):
    runtime = FakeRuntime()
    plan = applied(runtime, journal, built(V="1"))
    assert {step.action for step in plan.steps} == {Action.BUILD, Action.CREATE}
    assert not make_plan(built(V="1"), runtime).changed
    plan = applied(runtime, journal, built(V="2"))
    assert {step.action for step in plan.steps} == {Action.BUILD, Action.RECREATE}
    assert "supersede c" in runtime.calls
    assert not make_plan(built(V="2"), runtime).changed


def test_a_build_that_gives_the_same_image_leaves_the_container(journal):
    runtime = FakeRuntime(built={"app": "sha256:" + "1" * 64})
    applied(runtime, journal, built(V="1"))
    before = runtime.resources[ResourceId(kind=Kind.CONTAINER, name="c")]
    calls = len(runtime.calls)
    applied(runtime, journal, built(V="2"))
    assert runtime.calls[calls:] == ["create app", "start c"]
    assert runtime.resources[before.id].handle == before.handle
    assert not make_plan(built(V="2"), runtime).changed


def test_a_build_that_gives_the_same_image_does_not_hide_another_reason(journal):
    runtime = FakeRuntime(built={"app": "sha256:" + "1" * 64})
    applied(runtime, journal, built(V="1"))
    changed = built(V="2")
    container = changed.containers[0].model_copy(update={"environment": {"A": "b"}})
    applied(runtime, journal, changed.model_copy(update={"containers": (container,)}))
    assert "supersede c" in runtime.calls


def test_absent_is_declared_by_name(journal):
    runtime = FakeRuntime()
    applied(runtime, journal, Stack(name="p", volumes=(Volume(name="v"),)))
    gone = ResourceId(kind=Kind.VOLUME, name="v")
    plan = make_plan(Stack(name="p"), runtime, absent=[gone])
    assert plan.steps[0].risks == ("data: the volume's content is lost",)


def test_interrupted_runs_are_known(tmp_path):
    held = Journal(tmp_path / "r.db")
    with pytest.raises(KeyboardInterrupt), held.run("p", ["container a"]):
        raise KeyboardInterrupt
    assert held.interrupted() == []
    with held.run("q", []):
        assert [row[1] for row in held.interrupted()] == ["q"]
    held.close()


def test_what_shall_not_run_waits_for_nobody(journal):
    """A stack that is declared stopped has dependencies that never start."""
    runtime, wanted = FakeRuntime(), stack()
    stopped = [item.id for item in wanted.containers]
    plan = make_plan(wanted, runtime, stopped=stopped)
    assert [step.waits for step in plan.steps if step.resource in stopped] == [(), (), ()]
    apply_plan(plan, runtime, journal).raise_failure()
    assert not make_plan(wanted, runtime, stopped=stopped).changed
    # One that runs does not wait for one that shall not.
    some = make_plan(wanted, runtime, stopped=[wanted.containers[0].id])
    assert {step.resource.name: [wait.container for wait in step.waits] for step in some.steps} == {
        "demo-web-1": [],
        "demo-front-1": ["demo-web-1"],
    }


def test_a_container_of_a_single_command_is_left_alone_until_a_destroy(journal):
    runtime, wanted = FakeRuntime(), stack()
    applied(runtime, journal, wanted)
    made = one_off.container(wanted, "web", {"command": ("migrate",)}, aliases=False, ports=False)
    assert made.service == ""
    assert [place.aliases for place in made.networks] == [(), ()]
    part = one_off.part(wanted, made, dependencies=True)
    assert [item.name for item in part.containers] == ["demo-store-1", made.name]
    assert [item.name for item in part.volumes] == ["demo_data"]
    assert [item.name for item in one_off.part(wanted, made, dependencies=False).containers] == [made.name]
    scope = Scope(names=tuple(item.id for item in part.resources()))
    plan = make_plan(part, runtime, scope=scope, stopped=[made.id])
    assert [(step.action.value, step.resource.name) for step in plan.steps] == [("create", made.name)]
    apply_plan(plan, runtime, journal).raise_failure()
    assert not make_plan(wanted, runtime).changed
    gone = make_plan(Stack(name="demo"), runtime, scope=Scope(project="demo"), absent=[made.id])
    assert made.id in [step.resource for step in gone.steps]


class Forgetful(FakeRuntime):
    """An engine that gives a place no MAC address when it puts a container on it."""

    def facts(self):
        return super().facts().model_copy(update={"rejoins_with_mac": False})


@pytest.mark.parametrize("engine", [FakeRuntime, Forgetful])
def test_a_network_made_anew_re_creates_a_container_that_would_lose_its_mac_address(journal, engine):
    runtime = engine()
    place = {"network": "demo_front", "mac_address": "02:42:ac:11:00:77"}
    web = {"networks": [{"network": "demo_back"}, place]}
    applied(runtime, journal, stack(web=web))
    networks = [{"name": "demo_front", "internal": True}, {"name": "demo_back", "internal": True}]
    for more in ({}, {"restart": {"condition": "always"}}):  # also where it is updated for another reason
        made = make_plan(stack(web={**web, **more}, networks=networks), runtime)
        expected = Action.RECREATE if engine is Forgetful else Action.UPDATE
        assert made.step(Kind.CONTAINER, "demo-web-1").action is expected
        assert made.step(Kind.CONTAINER, "demo-front-1").action is Action.UPDATE
    apply_plan(made, runtime, journal).raise_failure()
    assert make_plan(stack(web={**web, **more}, networks=networks), runtime).changed is False
