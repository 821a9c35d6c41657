"""What somebody changes by `docker` is seen in the plan, and mended with as little as it needs."""

import gc

import pytest

from bayplan import app
from bayplan.app import history
from bayplan.errors import UnavailableError
from bayplan.models import Kind
from bayplan.reconcile.plan import Action
from bayplan.reconcile.walk import Phase
from bayplan.runtime.protocol import State
from contract.hosts import eventually

pytestmark = pytest.mark.host
STACK = """
services:
  web:
    image: IMAGE
    command: [sleep, "600"]
    init: true
    stop_grace_period: 1s
    restart: unless-stopped
    deploy: {resources: {limits: {memory: 64m, pids: 50}}}
    networks:
      front: {aliases: [shop], ipv4_address: 10.98.3.9}
      back: {}
  db: {image: IMAGE, command: [sleep, "600"], init: true, stop_grace_period: 1s, networks: [back]}
networks:
  front: {ipam: {config: [{subnet: 10.98.3.0/24}]}}
  back: {}
"""


def steps(plan):
    return [(step.resource.name, step.action, sorted({change.path for change in step.fields})) for step in plan.steps]


@pytest.fixture
def made(dock):
    dock.apply(STACK)
    return dock


MENDED = [
    (["update", "--memory", "80m", "--memory-swap", "80m", "WEB"], Action.UPDATE, ["resources[memory]"]),
    (["update", "--pids-limit", "7", "WEB"], Action.UPDATE, ["resources[pids]"]),
    (["update", "--cpus", "0.5", "WEB"], Action.RECREATE, ["resources[cpus]"]),
    (["update", "--restart", "no", "WEB"], Action.UPDATE, ["restart[condition]"]),
    (["network", "disconnect", "FRONT", "WEB"], Action.UPDATE, ["networks"]),
    (["network", "disconnect", "BACK", "WEB"], Action.UPDATE, ["networks"]),
    (["stop", "-t", "1", "WEB"], Action.START, []),
    (["kill", "WEB"], Action.START, []),
    (["pause", "WEB"], Action.START, []),
    (["rm", "-f", "WEB"], Action.CREATE, []),
]


@pytest.mark.parametrize(("argv", "action", "paths"), MENDED, ids=[" ".join(item[0][:2]) for item in MENDED])
def test_what_was_changed_by_hand_is_mended(made, argv, action, paths):
    web = made.name("web")
    names = {"WEB": web, "FRONT": f"{made.project}_front", "BACK": f"{made.project}_back"}
    before = made.container("web").status.pid
    made.engine.call(*(names.get(word, word) for word in argv))
    assert steps(made.plan(STACK)) == [(web, action, paths)]
    made.apply(STACK)
    found = made.container("web")
    assert found.status.state is State.RUNNING
    assert found.status.addresses[names["FRONT"]] == "10.98.3.9"
    assert (found.status.pid == before) == (action is Action.UPDATE or argv[0] == "pause")
    limit = made.engine.call("inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}", web)
    assert limit == f"{64 << 20} 50"


def test_every_setting_of_a_place_is_given_back(made):
    front, web = f"{made.project}_front", made.name("web")
    made.engine.call("network", "disconnect", front, web)
    made.engine.call("network", "connect", "--alias", "other", front, web)
    (step,) = made.plan(STACK).steps
    assert step.action is Action.UPDATE
    made.apply(STACK)
    shown = made.engine.call("inspect", "-f", f'{{{{json (index .NetworkSettings.Networks "{front}")}}}}', web)
    assert '"10.98.3.9"' in shown
    assert '"shop"' in shown
    assert '"other"' not in shown


def test_a_chosen_mac_address_comes_with_a_new_container(made):
    chosen = STACK.replace("{aliases: [shop], ", '{mac_address: "02:00:00:00:00:09", aliases: [shop], ')
    assert [step.action for step in made.apply(chosen).steps] == [Action.RECREATE]
    made.engine.call("network", "disconnect", f"{made.project}_front", made.name("web"))
    assert [step.action for step in made.apply(chosen).steps] == [Action.RECREATE]
    assert made.sh("web", "cat /sys/class/net/*/address | grep -c 02:00:00:00:00:09") == "1\n"


def test_a_network_that_was_added_by_hand_is_taken_away(made):
    made.engine.call("network", "create", "stranger")
    made.engine.call("network", "connect", "stranger", made.name("web"))
    (step,) = made.plan(STACK).steps
    assert [change.path for change in step.fields] == ["networks"]
    made.apply(STACK)
    assert "stranger" not in made.container("web").status.addresses
    assert "stranger" in made.engine.call("network", "ls", "--format", "{{.Name}}").split()


def test_a_network_that_was_made_anew_is_joined_again(made):
    """By hand: taken away from under its containers and made again, it is another one of the same name."""
    back = f"{made.project}_back"
    for service in ("web", "db"):
        made.engine.call("network", "disconnect", back, made.name(service))
    made.engine.call("network", "rm", back)
    made.apply(STACK)
    assert {back in made.container(service).status.addresses for service in ("web", "db")} == {True}


def test_one_that_was_renamed_is_followed(made):
    made.engine.call("rename", made.name("db"), "stray")
    assert made.plan(STACK).steps == ()
    changed = STACK.replace("db: {image", "db: {environment: {A: b}, image")
    assert steps(made.plan(changed)) == [("stray", Action.RECREATE, ["environment[A]"])]
    made.apply(changed)
    assert made.status()["stray"].status.state is State.RUNNING


def test_an_option_that_is_removed_goes_back_to_its_default(made):
    less = STACK.replace("restart: unless-stopped", "").replace(", pids: 50", "").replace("{aliases: [shop], ", "{")
    (step,) = made.plan(less).steps
    assert {change.path for change in step.fields} == {"restart[condition]", "resources[pids]", "networks"}
    assert step.action is Action.UPDATE
    made.apply(less)
    shown = "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.PidsLimit}} {{json .NetworkSettings.Networks}}"
    name, limit, places = made.engine.call("inspect", "-f", shown, made.name("web")).split(maxsplit=2)
    assert name == "no"
    assert limit in ("<nil>", "0", "-1", "<no")
    assert "shop" not in places
    fewer = less.replace("memory: 64m", "cpus: '0.5'")
    assert [step.action for step in made.apply(fewer).steps] == [Action.RECREATE]


# The SDK leaves a socket to the garbage collector when nobody answers.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket")
@pytest.mark.filterwarnings("ignore:unclosed <socket")
def test_an_engine_that_was_stopped_says_so_and_goes_on_afterwards(made):
    made.engine.stop()
    try:
        with pytest.raises(UnavailableError, match=r"nobody answers|connection failed"):
            made.plan(STACK)
        gc.collect()
    finally:
        made.engine.start()
    eventually(lambda: made.container("web").status.state is State.RUNNING)
    assert steps(made.plan(STACK)) == [(made.name("db"), Action.START, [])]
    made.apply(STACK)


# The SDK leaves a socket to the garbage collector when nobody answers.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket")
@pytest.mark.filterwarnings("ignore:unclosed <socket")
def test_what_an_engine_left_that_was_stopped_in_the_middle_is_finished(dock):
    stopped = []

    def stop_once(event):
        if event.step.resource.kind is Kind.CONTAINER and event.phase is Phase.DONE and not stopped:
            stopped.append(event.step.resource.name)
            dock.engine.stop()

    text = STACK.replace(
        "  db:", "  more: {image: IMAGE, command: [sleep, '600'], init: true, depends_on: [db, web]}\n  db:"
    )
    made, outcome = app.converge(
        lambda: dock.plan(text), dock.runtime, dock.settings.model_copy(update={"workers": 1}), on_event=stop_once
    )
    dock.engine.start()
    gc.collect()
    assert stopped
    assert isinstance(outcome.failed[0][1], UnavailableError)
    assert len(outcome.done) < len(made.steps)
    dock.apply(text)
    assert {dock.container(one).status.state for one in ("web", "db", "more")} == {State.RUNNING}


CAUSES = [
    (["update", "--memory", "80m", "--memory-swap", "80m", "WEB"], "changed through Docker (as `docker update` does)"),
    (["network", "disconnect", "FRONT", "WEB"], "its networks were changed"),
    (["pause", "WEB"], "it was paused through Docker (as `docker pause` does) at 2"),
    (["stop", "-t", "1", "WEB"], "it was stopped through Docker (as `docker stop` does) at 2"),
    (["kill", "WEB"], "it was stopped through Docker (as `docker kill` does) at 2"),
    (["rm", "-f", "WEB"], "it was removed through Docker (as `docker rm` does) at 2"),
]


@pytest.mark.parametrize(("argv", "cause"), CAUSES, ids=[" ".join(item[0][:2]) for item in CAUSES])
def test_the_cause_is_told(made, argv, cause):
    names = {"WEB": made.name("web"), "FRONT": f"{made.project}_front"}
    made.engine.call(*(names.get(word, word) for word in argv))
    found = history.drift(made.project, made.runtime, made.settings)
    told = {item.resource.name: item.causes for item in found.found}
    assert any(cause in one for one in told[names["WEB"]]), told
    made.apply(STACK)
    assert not history.drift(made.project, made.runtime, made.settings).drifted
