"""What happens to Docker's links and rules behind its back is seen in the plan, and mended where that can be."""

import pytest

from bayplan.reconcile import render
from bayplan.reconcile.plan import Action
from contract.hosts import joined

pytestmark = pytest.mark.host
STACK = """
services:
  web:
    image: IMAGE
    command: [sh, -c, "while :; do echo hello | nc -l -p 80; done"]
    init: true
    stop_grace_period: 200ms
    ports: ["18083:80"]
    networks: [front]
  db: {image: IMAGE, command: [sleep, "600"], init: true, stop_grace_period: 200ms, networks: [back]}
networks: {front: {}, back: {internal: true}}
"""


@pytest.fixture
def made(dock):
    with joined(dock.engine):
        dock.apply(STACK)
        yield dock


def bridge(host, network):
    return "br-" + host.engine.call("network", "inspect", "-f", "{{.Id}}", f"{host.project}_{network}")[:12]


def test_a_bridge_that_is_down_is_set_up(made):
    before = {name: item.handle for name, item in made.status().items()}
    made.inside("ip", "link", "set", bridge(made, "front"), "down")
    (step,) = made.plan(STACK).steps
    assert (step.resource.name, step.action) == (f"{made.project}_front", Action.HEAL)
    assert "is down" in step.why
    made.apply(STACK)
    assert {name: item.handle for name, item in made.status().items()} == before


@pytest.mark.parametrize("harm", [["link", "set", "BRIDGE", "down"], ["addr", "flush", "dev", "BRIDGE"]], ids=str)
def test_a_bridge_gets_its_addresses_back(made, harm):
    six = STACK.replace("front: {}, back", "front: {enable_ipv6: true}, back")
    made.apply(six)
    look = ["ip", "-o", "addr", "show", "dev", bridge(made, "front"), "scope", "global"]
    before = [line.split()[2:4] for line in made.inside(*look).splitlines()]
    assert [family for family, _ in before] == ["inet", "inet6"]
    made.inside("ip", *(word.replace("BRIDGE", bridge(made, "front")) for word in harm))
    assert [step.action for step in made.plan(six).steps] == [Action.HEAL]
    made.apply(six)
    assert [line.split()[2:4] for line in made.inside(*look).splitlines()] == before


def test_a_bridge_that_is_gone_is_made_anew_with_what_is_on_it(made):
    made.inside("ip", "link", "del", bridge(made, "front"))
    plan = made.plan(STACK)
    assert {(step.resource.name, step.action) for step in plan.steps} == {
        (f"{made.project}_front", Action.RECREATE),
        (made.name("web"), Action.RECREATE),
    }
    made.apply(STACK)


def test_a_port_whose_rule_is_gone_is_opened_by_a_restart(made):
    made.inside("iptables", "-t", "nat", "-F", "DOCKER")
    (step,) = made.plan(STACK).steps
    assert (step.resource.name, step.action) == (made.name("web"), Action.RESTART)
    assert "port 0.0.0.0:18083 leads nowhere" in step.why
    made.apply(STACK)


def test_rules_that_are_gone_are_told(made):
    made.inside("iptables", "-t", "nat", "-F", "POSTROUTING")
    made.inside("iptables", "-F")
    plan = made.plan(STACK)
    text = render.as_text(plan)
    assert f"network {made.project}_front: its rules are gone from the host's firewall (iptables)" in text
    assert f"network {made.project}_back: its rules are gone from the host's firewall (iptables), it is open" in text
    assert "restart Docker" in text
    made.engine.stop()
    made.engine.start()
    assert not made.plan(STACK).warnings


def test_rules_of_ipv6_are_looked_at_where_docker_writes_them(made):
    if not made.runtime.engine.speaks((1, 46)):  # older ones only where they are told to
        made.engine.again("--experimental", "--ip6tables")
    six = STACK.replace("front: {}, back", "front: {enable_ipv6: true}, back")
    try:
        made.apply(six)
        made.inside("ip6tables", "-t", "nat", "-F", "DOCKER")
        (step,) = made.plan(six).steps
        assert (step.resource.name, step.action) == (made.name("web"), Action.RESTART)
        assert "port [::]:18083 leads nowhere" in step.why
        made.apply(six)
        made.inside("ip6tables", "-t", "nat", "-F", "POSTROUTING")
        made.inside("ip6tables", "-F")
        text = render.as_text(made.plan(six))
        assert f"network {made.project}_front: its rules are gone from the host's firewall (ip6tables)" in text
    finally:
        made.engine.again()


def test_nothing_is_read_of_another_namespace(dock):
    dock.apply(STACK)
    dock.inside("iptables", "-F")
    assert not dock.plan(STACK).warnings
    dock.engine.stop()
    dock.engine.start()
