"""Containers replaced by their update_config, and networks made anew under those that run, on every engine."""

import re

import pytest

from bayplan import app
from bayplan.errors import UnsupportedError
from bayplan.models import Container, Duration, Image, Kind, Stack, UpdateConfig
from bayplan.reconcile.plan import Action
from bayplan.runtime.protocol import STAYS, Health, State

ROLLING = """
services:
  web:
    image: IMAGE
    command: [sleep, "600"]
    init: true
    stop_grace_period: 1s
    environment: {LEVEL: "1"}
    networks: {front: {aliases: [shop]}}
    deploy:
      replicas: 3
      update_config: {order: ORDER, parallelism: 2, delay: 100ms, monitor: 300ms}
networks: {front: {}}
"""
NETWORK = """
services:
  web:
    image: IMAGE
    command: [sh, -c, "echo hello > /www/index.html; exec httpd -f -p 8000 -h /www"]
    init: true
    stop_grace_period: 1s
    networks: {front: {aliases: [shop], ipv4_address: 10.209.77.9, mac_address: "02:42:ac:11:00:77"}, back: {}}
  client:
    image: IMAGE
    command: [sleep, "600"]
    init: true
    stop_grace_period: 1s
    networks: [front]
networks:
  back: {}
  front: {internal: true, ipam: {config: [{subnet: 10.209.77.0/24}]}}
"""


def containers(host):
    return {name: item for name, item in host.status().items() if item.id.kind is Kind.CONTAINER}


@pytest.mark.parametrize("order", ["stop-first", "start-first"])
def test_replicas_are_replaced_in_lots_as_the_plan_says(host, order):
    text = ROLLING.replace("ORDER", order)
    host.apply(text)
    before = {name: item.handle for name, item in containers(host).items()}
    done = []
    made, outcome = app.converge(
        lambda: host.plan(text.replace('"1"', '"2"')),
        host.runtime,
        host.settings,
        on_event=lambda event: done.append((event.step.resource.name, event.phase.value)),
    )
    outcome.raise_failure()
    first, second, third = (host.name("web", number) for number in (1, 2, 3))
    lots = {step.resource.name: (step.roll.lot, step.roll.order, set(step.needs)) for step in made.steps}
    assert [lots[name][:2] for name in (first, second, third)] == [(1, order), (1, order), (2, order)]
    assert {item.name for item in lots[third][2]} == {first, second}
    assert done.index((third, "started")) > max(done.index((name, "done")) for name in (first, second))
    after = containers(host)
    assert set(after) == set(before)
    assert all(item.status.state is State.RUNNING for item in after.values())
    assert not {item.handle for item in after.values()} & set(before.values())
    assert host.plan(text.replace('"1"', '"2"')).steps == ()


def test_what_was_killed_in_a_start_first_is_cleared_by_the_next_apply(host):
    text = ROLLING.replace("ORDER", "start-first").replace("replicas: 3", "replicas: 1")
    host.apply(text)
    (old,) = containers(host).values()
    wanted = host.load(text).containers[0]
    beside = host.runtime.create_beside(wanted, project=host.project, digest=old.image_digest)
    host.runtime.start(beside)
    assert host.status()[beside].superseded
    made = host.apply(text)
    assert [(step.resource.name, step.action) for step in made.steps] == [(beside, Action.DELETE)]
    assert containers(host)[host.name("web")].handle == old.handle
    beside = host.runtime.create_beside(wanted, project=host.project, digest=old.image_digest)
    host.runtime.start(beside)
    aside = host.runtime.take_over(beside, host.name("web"))
    there = containers(host)
    assert there[aside].superseded
    assert not there[host.name("web")].superseded
    made = host.apply(text)
    assert [(step.resource.name, step.action) for step in made.steps] == [(aside, Action.DELETE)]
    (new,) = containers(host).values()
    assert new.handle != old.handle
    assert new.status.state is State.RUNNING


@pytest.mark.parametrize("order", ["stop-first", "start-first"])
def test_one_that_ends_while_it_is_watched_leaves_the_old_one(real_host, order):
    host = real_host
    text = ROLLING.replace("ORDER", order).replace("replicas: 3", "replicas: 1").replace("300ms", "20s")
    host.apply(text.replace("20s", "100ms"), settled=False)
    before = containers(host)
    bad = text.replace('[sleep, "600"]', "[sh, -c, 'echo going; sleep 0.5; echo gone; exit 4']")
    _made, outcome = app.converge(lambda: host.plan(bad), host.runtime, host.settings)
    ((_, error),) = outcome.failed
    assert "ended with exit code 4" in str(error)
    assert "gone" in error.output
    now = containers(host)
    assert {name: item.handle for name, item in now.items()} == {name: item.handle for name, item in before.items()}
    assert now[host.name("web")].status.state is State.RUNNING
    assert host.plan(text.replace("20s", "100ms")).steps == ()


def test_the_first_dependency_that_ends_ends_all_waiting(real_host):
    """Waited for in their order, or to its end, the first would take hours."""
    check = "{test: [CMD, cat, /never], interval: 200ms, retries: 100000}"
    text = f"""
    services:
      slow: {{image: IMAGE, init: true, command: [sleep, "600"], healthcheck: {check}}}
      broken:
        image: IMAGE
        command: [sh, -c, "sleep 1; echo it broke; exit 4"]
        healthcheck: {check}
      user:
        image: IMAGE
        command: [sleep, "600"]
        depends_on: {{slow: {{condition: service_healthy}}, broken: {{condition: service_healthy}}}}
      late: {{image: IMAGE, command: [sleep, "600"], depends_on: {{slow: {{condition: service_healthy}}}}}}
    """
    host = real_host
    _made, outcome = app.converge(lambda: host.plan(text), host.runtime, host.settings)
    ((step, error),) = outcome.failed
    assert step.resource.name == host.name("user")
    assert f"container {host.name('broken')} ended with exit code 4" in str(error)
    assert "it broke" in error.output
    assert [item.resource.name for item in outcome.skipped] == [host.name("late")]
    assert set(containers(host)) == {host.name("slow"), host.name("broken")}
    assert host.container("slow").status.health is Health.STARTING


def test_a_single_container_is_replaced_and_what_a_kill_left_of_it_is_found(real_host):
    host = real_host
    config = UpdateConfig(order="start-first", monitor=Duration(milliseconds=100))
    made = Container(name=host.name("one"), image=host.IMAGE, command=("sleep", "600"), init=True, update_config=config)

    def apply(**changes):
        wanted = Stack(name="", images=(Image(name=host.IMAGE),), containers=(made.model_copy(update=changes),))
        plan, outcome = app.converge(lambda: app.plan_single(wanted, host.runtime), host.runtime, host.settings)
        outcome.raise_failure()
        return {step.resource.name: step.action for step in plan.steps if step.resource.kind is Kind.CONTAINER}

    assert apply() == {made.name: Action.CREATE}
    beside = host.runtime.create_beside(made, project="", digest=host.container("one").image_digest)
    assert apply(user="7") == {beside: Action.DELETE, made.name: Action.RECREATE}
    assert apply(user="7") == {}
    host.runtime.delete(made.id)


def test_a_running_one_stays(real_host):
    host = real_host
    host.apply(ROLLING.replace("ORDER", "stop-first").replace("replicas: 3", "replicas: 1"))
    status = host.runtime.wait(host.name("web"), STAYS, Duration(milliseconds=200))
    assert status.state is State.RUNNING


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("networks: {front: {ipv4_address: 10.209.77.9}}", "ipv4_address 10.209.77.9 of network"),
        ("networks: {front: {mac_address: '02:42:ac:11:00:77'}}", "mac_address 02:42:ac:11:00:77 of network"),
        ("network_mode: host", "network_mode host"),
    ],
)
def test_what_cannot_be_there_twice_is_refused_in_a_plan(host, more, said):
    text = ROLLING.replace("ORDER", "start-first").replace("replicas: 3", "replicas: 1")
    text = text.replace("networks: {front: {aliases: [shop]}}", more).replace(
        "networks: {front: {}}", "networks: {front: {ipam: {config: [{subnet: 10.209.77.0/24}]}}}"
    )
    with pytest.raises(UnsupportedError, match=said) as caught:
        host.plan(text)
    assert "update_config.order" in str(caught.value)
    assert host.status() == {}


def test_a_fixed_port_is_led_on_or_refused(real_host):
    host = real_host
    text = ROLLING.replace("ORDER", "start-first").replace("replicas: 3", "replicas: 1")
    text = text.replace("    init: true", '    init: true\n    ports: ["18080:80"]')
    if host.kind == "native":
        host.apply(text)
        return
    with pytest.raises(UnsupportedError, match=re.escape(host.runtime.engine.name)) as caught:
        host.plan(text)
    assert "18080->80/tcp" in str(caught.value)


def test_a_network_is_made_anew_under_containers_that_run(host):
    host.apply(NETWORK)
    before = containers(host)
    # Its MAC address on the network comes with a new container alone, where an engine keeps none of a place.
    runs_on = host.runtime.facts().rejoins_with_mac
    made = host.apply(NETWORK.replace("internal: true, ", ""))
    assert {step.resource.name: step.action for step in made.steps} == {
        f"{host.project}_front": Action.RECREATE,
        host.name("web"): Action.UPDATE if runs_on else Action.RECREATE,
        host.name("client"): Action.UPDATE,
    }
    after = containers(host)
    for name, item in before.items():
        assert after[name].actual.networks == item.actual.networks
        if name == host.name("web") and not runs_on:
            continue
        assert after[name].handle == item.handle
        assert after[name].status.started_at == item.status.started_at
        assert after[name].status.pid == item.status.pid
        if host.kind != "fake":
            assert set(after[name].status.addresses) == set(item.status.addresses)


def test_endpoints_of_a_network_made_anew_have_their_addresses_macs_and_aliases(real_host):
    host = real_host
    host.apply(NETWORK)
    before = containers(host)
    host.apply(NETWORK.replace("internal: true, ", ""))
    links = host.sh("web", "cat /sys/class/net/*/address; ip -4 addr")
    assert "02:42:ac:11:00:77" in links
    assert "10.209.77.9/24" in links
    assert host.sh("client", "timeout 5 wget -qO- http://shop:8000/") == "hello\n"
    if host.kind == "native":  # what nobody declared stays too
        assert {name: item.status.addresses for name, item in containers(host).items()} == {
            name: item.status.addresses for name, item in before.items()
        }
