"""Nodes of a real swarm: labels, availability, roles, a power cut, leaving and coming back."""

import json
import threading
import time

import pytest

from bayplan.bridge.main import respond
from bayplan.errors import BayplanError, ConflictError, DeclarationError, UnsupportedError
from bayplan.models import Kind, ResourceId
from bayplan.reconcile.plan import Action
from bayplan.runtime.engine_api.answers import AnswerError
from bayplan.runtime.swarm.runtime import SwarmRuntime
from swarm import tasks

pytestmark = pytest.mark.host

SPREAD = """
services:
  web:
    image: IMAGE:1
    command: sleep 1000
    init: true
    stop_grace_period: 1s
    deploy: {replicas: 3, endpoint_mode: dnsrr, update_config: {monitor: 0s}, restart_policy: {delay: 0s}}
"""


def where(swarm, service):
    """Names of the nodes that run a service's tasks."""
    with swarm.hosts[0].client() as client:
        names = {node["ID"]: node["Description"]["Hostname"] for node in client.call("GET", "/nodes")}
        return sorted(names[one["NodeID"]] for one in tasks(client, service) if one["Status"]["State"] == "running")


def until(condition, limit_s=90):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.3)


def test_labels_and_availability_are_declared(swarm, name):
    stack = swarm.stack(SPREAD, name)
    swarm.apply(stack)
    declared = swarm.declared(node2={"labels": {"disk": "ssd"}, "availability": "drain"})
    plan = swarm.plan(declared)
    assert [(step.resource.name, step.action) for step in plan.steps] == [("node2", Action.UPDATE)]
    assert {change.path for change in plan.steps[0].fields} == {"labels[disk]", "availability"}
    swarm.apply(declared)
    assert swarm.plan(declared).steps == ()
    until(lambda: len(where(swarm, f"{name}_web")) == 3 and "node2" not in where(swarm, f"{name}_web"))
    on_ssd = SPREAD.replace("endpoint_mode", "placement: {constraints: [node.labels.disk == ssd]}, endpoint_mode")
    with pytest.raises(BayplanError, match="no suitable node"):
        swarm.apply(swarm.stack(on_ssd, name))
    swarm.apply(swarm.declared(node2={"labels": {"disk": "ssd"}}))
    swarm.apply(swarm.stack(on_ssd, name))
    assert where(swarm, f"{name}_web") == ["node2"] * 3
    (step,) = swarm.plan(swarm.declared()).steps
    assert [change.path for change in step.fields] == ["labels[disk]"]


def test_a_node_is_killed_and_comes_back(swarm, name):
    stack = swarm.stack(SPREAD, name)
    swarm.apply(stack)
    lost = swarm.hosts[2]
    lost.kill()
    until(lambda: swarm.plan(swarm.declared()).warnings)
    (warning,) = swarm.plan(swarm.declared()).warnings
    assert warning.startswith("node node3: is down")
    until(lambda: len(where(swarm, f"{name}_web")) == 3 and "node3" not in where(swarm, f"{name}_web"))
    assert swarm.plan(stack).steps == ()
    longer = swarm.stack(SPREAD.replace("sleep 1000", "sleep 1001"), name)
    swarm.apply(longer)  # a swarm with a node less can be changed
    lost.boot()
    lost.up()
    until(lambda: not swarm.plan(swarm.declared()).warnings)
    assert swarm.plan(longer).steps == ()
    assert swarm.plan(longer).warnings == ()


def test_managers_are_promoted_and_one_that_dies_is_done_without(swarm, name):
    stack = swarm.stack(SPREAD, name)
    swarm.apply(stack)
    swarm.apply(swarm.declared(node2={"role": "manager"}, node3={"role": "manager"}))
    assert swarm.plan(swarm.declared(node2={"role": "manager"}, node3={"role": "manager"})).steps == ()
    first, second = swarm.hosts[:2]
    first.kill()
    other = SwarmRuntime(second.settings())
    try:
        asked = [swarm.runtime, swarm.settings]
        until(lambda: _leader(second))
        swarm.runtime, swarm.settings = other, second.settings()
        assert swarm.plan(stack).steps == ()
    finally:
        swarm.runtime, swarm.settings = asked
        other.close()
        first.boot()
        first.up()
        until(lambda: _leader(first))
    swarm.apply(swarm.declared())  # and the others are workers again
    assert swarm.plan(swarm.declared()).steps == ()


def _leader(host):
    """Whether it is asked with success: a manager without a quorum refuses."""
    try:
        with host.client() as client:
            nodes = client.call("GET", "/nodes")
    except AnswerError:
        return False
    return any((node.get("ManagerStatus") or {}).get("Leader") for node in nodes)


def test_a_node_leaves_and_joins_again(swarm, name):
    stack = swarm.stack(SPREAD, name)
    swarm.apply(stack)
    two = swarm.declared()
    two = two.model_copy(update={"nodes": two.nodes[:2]})
    plan = swarm.apply(two, absent=[ResourceId(kind=Kind.NODE, name="node3")])
    assert [(step.resource.name, step.action) for step in plan.steps] == [("node3", Action.DELETE)]
    with swarm.hosts[2].client() as client:
        assert client.call("GET", "/info")["Swarm"]["LocalNodeState"] == "inactive"
    until(lambda: len(where(swarm, f"{name}_web")) == 3)
    assert set(where(swarm, f"{name}_web")) <= {"node1", "node2"}
    back = swarm.plan(swarm.declared())
    assert [(step.resource.name, step.action) for step in back.steps] == [("node3", Action.CREATE)]
    swarm.apply(swarm.declared())
    assert swarm.plan(swarm.declared()).steps == ()


@pytest.mark.parametrize("by_hand", [False, True], ids=["asked by us", "asked before"])
def test_a_join_that_takes_long_is_waited_for(swarm, by_hand):
    """An engine answers after 20 seconds that it goes on trying."""
    two = swarm.declared()
    swarm.apply(two.model_copy(update={"nodes": two.nodes[:2]}), absent=[ResourceId(kind=Kind.NODE, name="node3")])
    first, last = swarm.hosts[0], swarm.hosts[2]
    token = first.docker("swarm", "join-token", "-q", "worker").strip()
    rule = ("OUTPUT", "-p", "tcp", "--dport", "2377", "-j", "DROP")
    last.run("iptables", "-I", *rule)
    opened = threading.Timer(25, last.run, ("iptables", "-D", *rule))
    opened.start()
    try:
        if by_hand:
            with pytest.raises(AssertionError, match="in the background"):
                last.docker("swarm", "join", "--token", token, f"{first.address}:2377")
        swarm.apply(swarm.declared())
    finally:
        opened.join()
    assert swarm.plan(swarm.declared()).steps == ()


def test_no_token_is_written_anywhere(swarm, caplog):
    with swarm.hosts[0].client() as client:
        tokens = client.call("GET", "/swarm")["JoinTokens"].values()
    secrets = [token.rpartition("-")[2].encode() for token in tokens]
    client_files = [path for path in (swarm.hosts[0].root / "client").rglob("*") if path.is_file()]
    assert client_files
    for path in client_files:
        assert not any(secret in path.read_bytes() for secret in secrets), path


def test_what_cannot_join_is_refused_before_anything_is_done(swarm):
    nodes = swarm.declared().nodes
    new = nodes[1].model_copy(update={"name": "node9"})
    with pytest.raises(ConflictError, match="is the host node2"):
        swarm.plan(swarm.declared().model_copy(update={"nodes": (*nodes, new)}))
    lost = new.model_copy(update={"address": None})
    with pytest.raises(DeclarationError, match="where its engine answers"):
        swarm.plan(swarm.declared().model_copy(update={"nodes": (*nodes, lost)}))
    with pytest.raises(ConflictError, match="needs a manager"):
        swarm.plan(swarm.declared().model_copy(update={"nodes": nodes[1:]}), absent=[nodes[0].id])
    with pytest.raises(ConflictError, match="needs a manager"):
        swarm.plan(swarm.declared(node1={"role": "worker"}))


def test_a_worker_cannot_be_asked(swarm, name):
    runtime = SwarmRuntime(swarm.hosts[1].settings())
    try:
        asked, swarm.runtime = swarm.runtime, runtime
        with pytest.raises(UnsupportedError, match="is a worker of its swarm"):
            swarm.plan(swarm.stack(SPREAD, name))
    finally:
        swarm.runtime = asked
        runtime.close()


def test_the_bridge_of_the_ansible_modules_changes_a_node(swarm):
    host = swarm.hosts[1]
    node = {"kind": "node", "name": host.name, "address": host.place, "advertise": host.address, "role": "worker"}
    settings = {"engine_address": swarm.hosts[0].place, "state_root": str(swarm.hosts[0].root / "bridge")}

    def ask(**request):
        answer = respond(json.dumps({"settings": settings, **request}))
        assert not answer.get("failed"), answer
        return answer

    wanted = {"verb": "apply", "resources": [{**node, "labels": {"rack": 7}}]}
    planned = ask(**wanted, check=True)
    assert [step["action"] for step in planned["plan"]["steps"]] == ["update"]
    assert ask(**wanted)["changed"]
    assert not ask(**wanted)["changed"]
    absent = ask(verb="plan", absent=[{"kind": "node", "name": host.name}])
    assert [step["action"] for step in absent["plan"]["steps"]] == ["delete"]
    swarm.apply(swarm.declared())
