"""One declaration on every engine: what is planned, done, and found afterwards."""

import pytest

from bayplan.errors import ConflictError, RuntimeFailureError
from bayplan.models import Kind
from bayplan.reconcile.plan import Action
from bayplan.runtime.protocol import State
from contract.hosts import eventually

STACK = """
services:
  db:
    image: IMAGE
    command: [sleep, "600"]
    init: true
    volumes: ["data:/data"]
    networks: [back]
  web:
    image: IMAGE
    command: [httpd, -f, -p, "8000", -h, /www]
    environment: {COLOUR: red}
    labels: {tier: front}
    working_dir: /tmp
    user: "0:0"
    hostname: shop
    stop_grace_period: 200ms
    stop_signal: SIGKILL
    networks:
      back: {}
      front: {aliases: [shop]}
    depends_on: [db]
networks: {front: {}, back: {internal: true}}
volumes: {data: {}}
"""


def actions(plan):
    return {str(step.resource).split(" ", 1)[1]: step.action for step in plan.steps}


def test_a_first_apply_makes_all_and_leaves_nothing_to_do(host):
    made = host.apply(STACK)
    names = {host.name("db"), host.name("web"), f"{host.project}_front", f"{host.project}_back", f"{host.project}_data"}
    assert names <= set(actions(made))
    found = host.status()
    assert set(found) == names
    assert {found[host.name(item)].status.state for item in ("db", "web")} == {State.RUNNING}


def test_a_plan_changes_nothing(host):
    made = host.plan(STACK)
    assert made.changed
    assert host.status() == {}


def test_a_second_apply_does_nothing(host):
    host.apply(STACK)
    before = {name: item.handle for name, item in host.status().items()}
    assert host.apply(STACK).steps == ()
    assert {name: item.handle for name, item in host.status().items()} == before


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("COLOUR: red", "COLOUR: blue", "environment[COLOUR]"),
        ("environment: {COLOUR: red}", "environment: {}", "environment[COLOUR]"),
        ("working_dir: /tmp", "working_dir: /www", "working_dir"),
        ("hostname: shop", "hostname: store", "hostname"),
        ('user: "0:0"', 'user: "1000:1000"', "user"),
        ("tier: front", "tier: back", "labels[tier]"),
        ("aliases: [shop]", "aliases: [store]", "networks"),
    ],
)
def test_one_edit_touches_only_its_container(host, old, new, path):
    host.apply(STACK)
    before = {name: item.handle for name, item in host.status().items()}
    made = host.apply(STACK.replace(old, new))
    assert [str(step.resource) for step in made.steps] == [f"container {host.name('web')}"]
    assert path in [change.path for change in made.steps[0].fields] or any(
        change.path.startswith(path) for change in made.steps[0].fields
    )
    after = {name: item.handle for name, item in host.status().items()}
    assert {name for name in before if before[name] != after[name]} <= {host.name("web")}


def test_an_option_that_is_taken_away_goes_back_to_its_default(host):
    host.apply(STACK)
    made = host.apply(STACK.replace("    working_dir: /tmp\n", "").replace("    hostname: shop\n", ""))
    assert {change.path for change in made.steps[0].fields} == {"working_dir", "hostname"}
    assert [str(step.resource) for step in made.steps] == [f"container {host.name('web')}"]


def test_what_is_taken_from_the_declaration_is_taken_from_the_host(host):
    host.apply(STACK)
    less = STACK[: STACK.index("  web:")] + "networks: {back: {internal: true}}\nvolumes: {data: {}}\n"
    made = host.apply(less)
    assert actions(made) == {host.name("web"): Action.DELETE, f"{host.project}_front": Action.DELETE}
    assert host.name("web") not in host.status()


def test_a_destroy_leaves_the_volumes_and_one_that_says_so_does_not(host):
    host.apply(STACK)
    host.destroy()
    assert set(host.status()) == {f"{host.project}_data"}
    host.apply(STACK)
    host.destroy(volumes=True)
    assert host.status() == {}


def test_a_container_that_was_stopped_is_started(host):
    host.apply(STACK)
    before = host.handle("web")
    host.runtime.stop(host.name("web"))
    assert host.container("web").status.state is State.EXITED
    made = host.apply(STACK)
    assert actions(made) == {host.name("web"): Action.START}
    assert host.handle("web") == before


def test_a_paused_container_goes_on(host):
    host.apply(STACK)
    host.runtime.pause(host.name("web"))
    assert host.container("web").status.state is State.PAUSED
    assert actions(host.apply(STACK)) == {host.name("web"): Action.START}
    assert host.container("web").status.state is State.RUNNING


def test_a_container_that_is_gone_is_made_again(host):
    host.apply(STACK)
    host.runtime.delete(host.container("web").id)
    assert actions(host.apply(STACK)) == {host.name("web"): Action.CREATE}


def test_a_container_of_somebody_else_is_left_alone(real_host):
    host = real_host
    host.apply("services: {web: {image: IMAGE, command: [sleep, '600'], container_name: theirs, init: true}}")
    mine, host.project = host.project, host.project + "x"
    try:
        with pytest.raises(ConflictError, match=mine):
            host.plan("services: {web: {image: IMAGE, container_name: theirs}}")
    finally:
        host.project = mine


def test_a_replacement_that_fails_brings_the_old_one_back(real_host):
    host = real_host
    good = """
    services:
      web:
        image: IMAGE
        init: true
        command: [sh, -c, "echo $$WORD > /word; exec sleep 600"]
        environment: {WORD: good}
        healthcheck: {test: [CMD, test, -e, /word], interval: 200ms, retries: 50}
      user:
        image: IMAGE
        init: true
        command: [sleep, "600"]
        depends_on: {web: {condition: service_healthy}}
    """
    host.apply(good)
    before = host.handle("web")
    with pytest.raises(RuntimeFailureError, match=host.name("web")):
        host.apply(good.replace("exec sleep 600", "exit 3").replace("WORD: good", "WORD: bad"))
    assert host.handle("web") == before
    assert host.container("web").status.state is State.RUNNING
    assert host.sh("web", "cat /word") == "good\n"
    assert host.apply(good).steps == ()


@pytest.mark.parametrize("events", [2, 5, 9])
def test_a_kill_in_the_middle_is_finished_by_the_next_apply(real_host, events):
    host = real_host
    host.killed_apply(STACK, events)
    host.apply(STACK)
    assert {host.container(item).status.state for item in ("db", "web")} == {State.RUNNING}
    assert len([item for item in host.status().values() if item.actual.kind is Kind.CONTAINER]) == 2


def test_a_kill_in_the_middle_of_a_replacement_is_finished_by_the_next_apply(real_host):
    host = real_host
    host.apply(STACK)
    edited = STACK.replace("COLOUR: red", "COLOUR: blue").replace('"600"', '"601"')
    for events in (1, 2):
        host.killed_apply(edited, events)
        host.apply(edited)
        assert host.sh("web", "echo $COLOUR") == "blue\n"
        assert len([item for item in host.status().values() if item.actual.kind is Kind.CONTAINER]) == 2
        edited = edited.replace('"601"', '"602"')


def test_a_saved_file_outlives_an_edit(real_host):
    host = real_host
    host.apply(STACK)
    host.sh("db", "echo kept > /data/file")
    before = host.handle("db")
    host.apply(STACK.replace('command: [sleep, "600"]', 'command: [sleep, "700"]'))
    assert host.handle("db") != before
    assert host.sh("db", "cat /data/file") == "kept\n"


def test_a_policy_starts_it_again(real_host):
    host = real_host
    host.apply("""
    services:
      web:
        image: IMAGE
        command: [sh, -c, "echo start; sleep 0.3; exit 4"]
        restart: always
    """)
    lines = eventually(lambda: len(list(host.runtime.logs(host.name("web")))) >= 2)
    assert lines


def test_limits_and_policies_are_changed_and_taken_back(real_host):
    host = real_host
    text = """
    services:
      app:
        image: IMAGE
        init: true
        command: [sleep, "600"]
        mem_limit: 64m
        pids_limit: 100
        restart: "no"
    """
    host.apply(text)
    assert host.runtime.usage(host.name("app")).memory_limit_bytes == 64 << 20
    made = host.apply(text.replace("64m", "96m").replace('"no"', "on-failure:3"))
    assert {change.path.partition("[")[0] for change in made.steps[0].fields} == {"resources", "restart"}
    assert host.runtime.usage(host.name("app")).memory_limit_bytes == 96 << 20
    host.apply(text.replace("        mem_limit: 64m\n", ""))
    assert host.runtime.usage(host.name("app")).memory_limit_bytes is None
