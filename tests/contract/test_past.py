"""What was applied before: generations, the way back, what is no longer declared, records that are lost, adoption."""

import json
from pathlib import Path

import pytest

from bayplan import app
from bayplan.app import adopt, history, prune, recovery, repair
from bayplan.errors import CorruptStateError
from bayplan.models import ByteSize, Kind
from bayplan.reconcile import render
from bayplan.reconcile.reasons import DRIFT, EDITED, REMOVED
from bayplan.reconcile.verbs import Command
from bayplan.runtime.protocol import State

WHOLE = """
services:
  web: &service
    image: IMAGE
    command: [sleep, "600"]
    init: true
    stop_grace_period: 1s
    environment: {GREETING: hello}
    networks: [net]
    labels: {team: blue}
  gone:
    <<: *service
    networks: [old]
    volumes: ["data:/data"]
networks: {net: {}, old: {}}
volumes: {data: {}}
"""
LESS = """
services:
  web:
    image: IMAGE
    command: [sleep, "600"]
    init: true
    stop_grace_period: 1s
    environment: {GREETING: hello}
    networks: [net]
    labels: {team: blue}
networks: {net: {}}
"""
GIVEN = LESS.replace("    labels:", "    configs: [plain]\n    labels:") + "configs: {plain: {content: of a config}}\n"
LIMITED = LESS.replace("    labels:", "    mem_limit: 64m\n    labels:")


def numbers(host):
    return [number for number, _ in history.history(host.project, host.settings)]


def handles(host):
    return {name: item.handle for name, item in host.status().items() if item.id.kind is Kind.CONTAINER}


def test_a_project_goes_back_and_what_only_heals_is_no_generation(host):
    host.apply(GIVEN)
    host.apply(GIVEN.replace("hello", "bonjour"))
    declared = {"current": host.load(GIVEN)}  # what a config holds is in no generation
    first = history.plan_rollback(host.project, 1, host.runtime, host.settings, **declared)
    assert [(str(step.resource), step.action.value, step.why) for step in first.steps] == [
        (f"container {host.name('web')}", "re-create", "goes back to generation 1")
    ]
    plan, outcome = app.converge(
        lambda: history.plan_rollback(host.project, 1, host.runtime, host.settings, **declared),
        host.runtime,
        host.settings,
    )
    outcome.raise_failure()
    assert (plan.steps, numbers(host)) == (first.steps, [3, 2, 1])
    assert host.container("web").actual.environment["GREETING"] == "hello"
    host.runtime.stop(host.name("web"))
    assert [step.action.value for step in history.drift(host.project, host.runtime, host.settings).plan.steps] == [
        "start"
    ]
    _, outcome = app.converge(
        lambda: history.plan_healing(host.project, host.runtime, host.settings), host.runtime, host.settings
    )
    outcome.raise_failure()
    host.apply(GIVEN)
    assert numbers(host) == [3, 2, 1]
    assert not history.drift(host.project, host.runtime, host.settings).drifted


def test_what_a_verb_changed_is_drift_and_no_edit(host):
    if host.kind == "podman":
        pytest.skip("it changes no limits of what runs")
    host.apply(LIMITED)
    name = host.name("web")
    more = host.container("web").actual.resources.model_copy(update={"memory": ByteSize(128 << 20)})
    changed = (host.container("web").actual.model_copy(update={"resources": more}),)
    app.command(Command("update", changed=changed), [name], host.runtime, host.settings)
    (step,) = app.plan(host.load(LIMITED), host.runtime, settings=host.settings).steps
    assert (step.why, {one.why for one in step.fields}) == (DRIFT, {DRIFT})
    (step,) = history.plan_healing(host.project, host.runtime, host.settings).steps
    assert (step.why, {one.why for one in step.fields}) == (DRIFT, {DRIFT})
    (step,) = app.plan(host.load(LIMITED.replace("64m", "96m")), host.runtime, settings=host.settings).steps
    assert step.why == EDITED
    declared = host.load(LIMITED)
    mended, _ = app.converge(
        lambda: app.plan(declared, host.runtime, settings=host.settings), host.runtime, host.settings
    )
    assert (mended.changed, numbers(host)) == (True, [1])


PAIR = """
services:
  web: &service
    image: IMAGE
    command: [sleep, "600"]
    init: true
    stop_grace_period: 1s
    environment: {GREETING: hello, A_PASSWORD: hidden}
  db:
    <<: *service
    environment: {ROLE: one}
    volumes: ["data:/data"]
volumes: {data: {}}
"""


def converged(host, make, **changes):
    settings = host.settings.model_copy(update=changes)
    plan, outcome, back = recovery.converge(make, host.runtime, settings)
    if back is None:
        outcome.raise_failure()
    return plan, back


def of_services(host, text, *names):
    declared = host.load(text)
    return lambda: app.plan_services(declared, names, host.runtime, host.settings)


def declared_last(host):
    ((_, last), *_) = history.history(host.project, host.settings)
    found = {item.service: item.environment for item in last.stack.containers}
    return {name: value.get("GREETING") or value.get("ROLE") for name, value in found.items()}


def test_an_apply_of_some_services_is_a_generation_in_which_the_others_are_as_they_were(host):
    host.apply(PAIR)
    edited = PAIR.replace("hello", "bonjour").replace("one", "two")
    converged(host, of_services(host, edited, "web"))
    assert (numbers(host), declared_last(host)) == ([2, 1], {"web": "bonjour", "db": "one"})
    assert not history.drift(host.project, host.runtime, host.settings).drifted
    again, _ = converged(host, of_services(host, edited, "web"))
    assert (again.changed, numbers(host)) == (False, [2, 1])
    (step,) = app.plan(host.load(PAIR), host.runtime, settings=host.settings).steps
    assert (step.resource.name, step.why) == (host.name("web"), EDITED)  # it was applied: no drift
    converged(host, of_services(host, edited, "db"))
    assert declared_last(host) == {"web": "bonjour", "db": "two"}
    host.apply(edited)
    assert numbers(host) == [3, 2, 1]


def test_some_services_are_all_of_the_first_generation(host):
    converged(host, of_services(host, PAIR, "web"))
    assert declared_last(host) == {"web": "hello"}
    host.apply(PAIR)
    assert (numbers(host), declared_last(host)) == ([2, 1], {"web": "hello", "db": "one"})


def test_services_that_fail_go_back_alone(real_host):
    host = real_host
    host.apply(PAIR)
    app.command(Command("stop"), [host.name("db")], host.runtime, host.settings)
    needing = """
  front:
    image: IMAGE
    command: [/nothing-there]
    depends_on: [web]
volumes:"""
    broken = PAIR.replace("hello", "bonjour").replace("one", "two").replace("\nvolumes:", needing)
    _, back = converged(host, of_services(host, broken, "front"), on_failure="rollback")
    assert (back.to, back.error) == ("generation 1", None)
    assert host.container("web").actual.environment["GREETING"] == "hello"
    assert host.name("front") not in host.status()
    assert host.container("db").status.state is State.EXITED
    assert declared_last(host) == {"web": "hello", "db": "one"}


def test_orphans_that_are_spared_are_no_drift_and_go_with_the_next_apply_that_does_not(host):
    host.apply(WHOLE)
    made = app.plan(host.load(LESS), host.runtime, orphans=False, settings=host.settings)
    assert len(made.kept) == 3
    converged(host, lambda: app.plan(host.load(LESS.replace("blue", "red")), host.runtime, orphans=False))
    assert not history.drift(host.project, host.runtime, host.settings).drifted
    gone = app.plan(host.load(LESS.replace("blue", "red")), host.runtime, settings=host.settings)
    assert {(step.resource.name, step.action.value) for step in gone.steps} == {
        (host.name("gone"), "delete"),
        (f"{host.project}_old", "delete"),
    }


def test_orphans_that_stay_are_no_containers_that_a_service_has_too_many_of(host):
    scaled = LESS.replace("    labels:", "    scale: 2\n    labels:")
    host.apply(scaled)
    one_too_many = f"{host.project}-web-2"
    made = app.plan(host.load(LESS), host.runtime, orphans=False)
    assert [(step.resource.name, step.action.value) for step in made.steps] == [(one_too_many, "delete")]
    converged(host, of_services(host, LESS, "web"))
    assert one_too_many not in host.status()
    assert not history.drift(host.project, host.runtime, host.settings).drifted


def test_a_secret_that_is_declared_no_more_is_an_edit_though_no_generation_has_it(host):
    host.apply(LESS.replace("{GREETING: hello}", "{GREETING: hello, A_PASSWORD: hidden}"))
    (step,) = app.plan(host.load(LESS), host.runtime, settings=host.settings).steps
    assert (step.why, [(one.path, one.why) for one in step.fields]) == (REMOVED, [("environment[A_PASSWORD]", REMOVED)])


def test_destroy_says_what_it_keeps_and_that_nothing_is_there(host):
    host.apply(WHOLE)
    assert {step.why for step in app.plan_destroy(host.project, host.runtime).steps} == {"its project is destroyed"}
    left = (f"volume {host.project}_data; volumes are removed only when asked for",)
    for _ in range(2):
        made, outcome = app.converge(lambda: app.plan_destroy(host.project, host.runtime), host.runtime, host.settings)
        outcome.raise_failure()
        assert made.kept == left
    assert render.as_text(made).endswith("Nothing to do: there is nothing to remove.")


def test_a_prune_removes_just_what_it_listed(host):
    host.apply(WHOLE)
    before, stack = host.status().keys(), host.load(LESS)
    found = prune.find(stack, host.runtime, host.settings, volumes=False, keep=10)
    listed = [str(step.resource) for step in found.plan.steps]
    assert listed == [f"container {host.name('gone')}", f"network {host.project}_old"]
    assert any(f"volume {host.project}_data" in sentence for sentence in found.kept)
    assert host.status().keys() == before
    done = prune.carry_out(found, stack, host.runtime, host.settings)
    assert sorted(item for item in done if item in listed) == sorted(listed)
    assert before - host.status().keys() == {host.name("gone"), f"{host.project}_old"}
    found = prune.find(stack, host.runtime, host.settings, volumes=True, keep=10)
    assert [str(step.resource) for step in found.plan.steps] == [f"volume {host.project}_data"]
    prune.carry_out(found, stack, host.runtime, host.settings)
    # What was pruned does not come back as drift.
    assert not history.drift(host.project, host.runtime, host.settings).drifted
    assert numbers(host) == [3, 2, 1]
    host.apply(LESS)
    found = prune.find(stack, host.runtime, host.settings, volumes=True, keep=1)
    assert (found.generations, found.plan.steps) == ((1, 2), ())
    prune.carry_out(found, stack, host.runtime, host.settings)
    assert numbers(host) == [3]
    assert prune.find(stack, host.runtime, host.settings, volumes=True, keep=1).empty


@pytest.mark.parametrize("harm", ["torn", "gone"])
def test_lost_records_come_back_of_what_is_there(real_host, harm):
    host = real_host
    host.apply(LESS)
    host.apply(LIMITED)  # in place: labels still say what it was made with
    ids = [item for item in host.status().values() if item.id.kind is Kind.CONTAINER]
    before, kept = handles(host), sorted(host.settings.state_root.glob("*.db"))
    assert {path.name for path in kept} == {"record.db", "state.db" if host.kind == "native" else "engines.db"}
    host.runtime.close()
    for path in kept:
        for beside in path.parent.glob(f"{path.name}-*"):
            beside.unlink()
        if harm == "gone":
            path.unlink()
        else:
            path.write_bytes(b"torn" * 2000)
    if harm == "torn":
        with pytest.raises(CorruptStateError, match="`bayplan repair`"):
            again(host)
        assert all(runs(host, one) for one in ids)
    host.runtime.close()
    settings = host.settings.model_copy(update={"engine": host.kind})
    done = repair.repair(settings, host.project)
    assert [bool(item.aside) for item in done] == [harm == "torn"] * 2, done
    host.reopen()
    plan = host.plan(LIMITED)
    assert {step.action.value for step in plan.steps} <= {"heal"}, plan.steps
    assert handles(host) == before
    # A timer may heal before anybody applies: to what is there, then to what is declared.
    assert not history.drift(host.project, host.runtime, host.settings).drifted
    host.apply(LIMITED)
    assert handles(host) == before
    assert numbers(host) == [2, 1]
    assert not history.drift(host.project, host.runtime, host.settings).drifted
    assert [bool(item.fault) for item in repair.repair(settings, host.project)] == [False, False]


def again(host):
    """What a command does: open the records, then change something."""
    host.reopen()
    host.apply(LESS)


def runs(host, item):
    """Whether a container that was observed before runs on; asked without our records."""
    if host.engine:
        return host.engine.call("inspect", "-f", "{{.State.Running}}", item.handle) == "true"
    return Path(f"/proc/{item.status.pid}/root").exists()


def test_a_stack_is_adopted_as_it_runs(real_host, tmp_path):
    host = real_host
    host.apply(WHOLE)
    before = handles(host)
    found = adopt.adopt([host.project], "elsewhere", host.runtime, host.settings, tmp_path)
    assert (found.project, found.plan.steps, found.plan.noted) == (host.project, (), ()), found.written.text
    host.apply(found.written.text)
    assert handles(host) == before


def test_what_the_engines_own_command_made_is_adopted(engine_host, tmp_path):
    host = engine_host
    host.apply(LESS)  # brings the image
    host.destroy()
    command = ("run", "-d", "--name", "loose", "-e", "DB_PASSWORD=planted-secret", "-v", "kept:/data", "-m", "64m")
    host.engine.call(*command, "--init", host.IMAGE, "sleep", "600")
    try:
        found = adopt.adopt(["loose"], host.project, host.runtime, host.settings, tmp_path)
        assert [(str(one.resource), one.why, one.fields) for one in found.plan.steps] == [], found.written.text
        assert "planted-secret" not in found.written.text
        before = json.loads(host.engine.call("inspect", "loose"))[0]["State"]["Pid"]
        app.apply(found.plan, host.runtime, host.settings).raise_failure()
        assert json.loads(host.engine.call("inspect", "loose"))[0]["State"]["Pid"] == before
    finally:
        host.engine.call("rm", "-f", *host.engine.at_once, "loose")
