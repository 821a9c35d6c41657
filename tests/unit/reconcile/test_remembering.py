"""Which applies leave a generation, on the fake runtime."""

import pytest

from bayplan import app
from bayplan.app import history
from bayplan.errors import RuntimeFailureError
from bayplan.models import Container, Kind, Settings, Stack
from bayplan.reconcile import parts
from bayplan.record.generations import Generations
from bayplan.record.journal import Journal
from bayplan.runtime.fake import FakeRuntime
from bayplan.runtime.protocol import Scope, State

STACK = Stack(name="p", containers=(Container(name="web", image="i", environment={"A": "1", "DB_PASSWORD": "x"}),))


class CutError(BaseException):
    """The process is no more."""


@pytest.fixture
def host(tmp_path):
    return FakeRuntime(), Settings(state_root=tmp_path, run_root=tmp_path / "run")


def with_environment(**values):
    (item,) = STACK.containers
    return STACK.model_copy(
        update={"containers": (item.model_copy(update={"environment": {**item.environment, **values}}),)}
    )


def up(host, stack=STACK):
    runtime, settings = host
    app.converge(lambda: app.plan(stack, runtime), runtime, settings)[1].raise_failure()
    return numbers(settings)


def numbers(settings):
    return [number for number, _ in history.history("p", settings)]


def end(host):
    host[0]._set("web", state=State.EXITED, exit_code=1)


def test_what_only_heals_leaves_none(host):
    assert up(host) == [1]
    for _ in range(3):
        end(host)
        assert up(host) == [1]
        end(host)
        app.converge(lambda: history.plan_healing("p", *host), *host)[1].raise_failure()
        end(host)
        app.converge(lambda: history.plan_rollback("p", 1, *host), *host)[1].raise_failure()
    del host[0].resources[STACK.containers[0].id]
    assert up(host) == [1]
    assert up(host, with_environment(A="2")) == [2, 1]


def test_a_secret_that_changed_leaves_one_though_it_has_it_not(host):
    up(host)
    assert up(host, with_environment(DB_PASSWORD="y")) == [2, 1]


def test_a_rollback_leaves_one(host):
    up(host)
    up(host, with_environment(A="2"))
    app.converge(lambda: history.plan_rollback("p", 1, *host), *host)[1].raise_failure()
    assert numbers(host[1]) == [3, 2, 1]


def test_an_apply_cut_before_its_record_is_recorded_by_the_next_that_has_nothing_to_do(host, monkeypatch):
    up(host)
    edited = with_environment(A="2")

    def cut(*_):
        raise CutError

    for owner, name in ((Generations, "add"), (Journal, "came_to")):
        before = numbers(host[1])
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, cut)
            with pytest.raises(CutError):
                up(host, edited)
        assert not app.plan(edited, host[0]).changed
        after = up(host, edited)
        assert len(after) == len(before) + 1, "what was cut is not recorded, or twice"
        assert history.drift("p", *host).plan.steps == ()
        edited = with_environment(A="3")


def test_what_a_full_disk_kept_from_being_recorded_is_recorded_by_the_next_that_can(host, monkeypatch):
    up(host)
    edited = with_environment(A="2")

    def full(*_):
        raise RuntimeFailureError("the journal cannot be written: disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Generations, "add", full)
        assert up(host, edited) == [1]
        assert up(host, edited) == [1], "one that has nothing to do tries it, and cannot either"
    assert up(host, edited) == [2, 1]


def test_an_apply_that_failed_and_was_mended_by_hand_is_recorded(host):
    runtime, settings = host
    up(host)
    edited = with_environment(A="2")
    runtime.fail = {"start web": "no"}
    assert app.converge(lambda: app.plan(edited, runtime), runtime, settings)[1].failed
    runtime.fail = {}
    app.apply(app.plan(edited, runtime).model_copy(update={"stack": None}), runtime, settings)  # as for some services
    assert numbers(settings) == [1]
    assert up(host, edited) == [2, 1]


def test_a_journal_that_cannot_be_read_is_told_by_an_apply_with_nothing_to_do(host, caplog):
    up(host)
    host[1].state_root.joinpath("record.db").write_bytes(b"not a database" * 100)
    for name in ("record.db-wal", "record.db-shm"):
        host[1].state_root.joinpath(name).unlink(missing_ok=True)
    app.converge(lambda: app.plan(STACK, host[0]), *host)[1].raise_failure()
    assert "this generation could not be recorded: " in caplog.text
    assert "the journal cannot be read" in caplog.text


def test_what_is_declared_to_be_stopped_is_not_started_by_a_heal(host):
    runtime, settings = host
    stopped = [item.id for item in STACK.containers]

    def make():
        made = app.plan(STACK, runtime, stopped=stopped, settings=settings)
        return made.model_copy(update={"stopped": tuple(item.name for item in stopped)})

    assert up(host) == [1]
    app.converge(make, runtime, settings)[1].raise_failure()
    assert numbers(settings) == [2, 1]
    assert not history.drift("p", runtime, settings).drifted
    assert not history.plan_healing("p", runtime, settings).changed
    app.converge(make, runtime, settings)[1].raise_failure()
    assert numbers(settings) == [2, 1]
    back, outcome = app.converge(lambda: history.plan_rollback("p", 1, runtime, settings), runtime, settings)
    outcome.raise_failure()
    assert [step.action.value for step in back.steps] == ["start"]


def test_a_password_in_an_address_is_in_no_plan_and_no_generation(host):
    runtime, settings = host
    up(host, with_environment(DATABASE="postgres://shop:swordfish@db/shop", PLAIN="http://db:80/@a"))
    changed = with_environment(DATABASE="postgres://shop:halibut@db/shop", PLAIN="http://db:80/@b")
    plan = app.plan(changed, runtime, settings=settings)
    assert [(one.path, one.before, one.after) for one in plan.steps[0].fields] == [
        ("environment[DATABASE]", "********", "********"),
        ("environment[PLAIN]", "http://db:80/@a", "http://db:80/@b"),
    ]
    assert up(host, changed) == [2, 1]
    recorded = [made.model_dump_json() for _, made in history.history("p", settings)]
    assert "http://db:80/@b" in recorded[0]
    assert not any(word in one for one in recorded for word in ("swordfish", "halibut"))
    app.converge(lambda: history.plan_rollback("p", 1, *host), *host)[1].raise_failure()
    (held,) = runtime.observe(Scope(project="p")).of(Kind.CONTAINER)
    assert held.actual.environment == {**changed.containers[0].environment, "PLAIN": "http://db:80/@a"}


def test_what_a_part_of_a_generation_stops_is_of_that_part(host):
    runtime, settings = host
    (web,) = STACK.containers
    both = (web.model_copy(update={"service": "web"}), Container(name="db", service="db", image="i"))
    whole = STACK.model_copy(update={"containers": both})
    stopped = [item.id for item in both]
    made = app.plan(whole, runtime, stopped=stopped, settings=settings)
    app.apply(made.model_copy(update={"stopped": ("web", "db")}), runtime, settings).raise_failure()
    ((_, last),) = history.history("p", settings)
    part = parts.of(last, whole.model_copy(update={"containers": both[:1]}))
    assert ([item.name for item in part.stack.containers], part.stopped) == (["web"], ("web",))
    alone = app.plan_services(whole, ["db"], runtime, settings)
    app.apply(alone, runtime, settings).raise_failure()
    assert history.history("p", settings)[0][1].stopped == ("web",)
