"""Plays on a real swarm: its nodes, and a stack on them."""

import pytest

from plays import assemble, play, variables

pytestmark = pytest.mark.host

SERVICE = {
    "command": "sleep 1000",
    "init": True,
    "stop_grace_period": "1s",
    "deploy": {"replicas": 2, "endpoint_mode": "dnsrr", "update_config": {"monitor": "0s"}},
}


@pytest.fixture
def played(swarm, tmp_path):
    """Runs tasks through the manager; their results."""
    assemble(tmp_path)
    state = str(swarm.hosts[0].root / "played")
    place = {"engine_address": swarm.hosts[0].place}

    def run(*tasks):
        given = [(module, {**place, **options}, *more) for module, options, *more in tasks]
        settings = {"state_root": state, "run_root": state}
        results, output = play(variables(tmp_path), tmp_path, given, settings)
        assert not any(one.get("failed") for one in results), output
        return results

    return run


def each(swarm, **changes):
    """One task for all nodes."""
    items = [
        {"name": host.name, "address": host.place, "advertise": host.address, **changes.get(host.name, {})}
        for host in swarm.hosts
    ]
    options = {key: f"{{{{ item.{key} }}}}" for key in ("name", "address", "advertise")}
    role = "{{ 'manager' if item.name == 'node1' else 'worker' }}"
    labels = {"labels": "{{ item.labels | default({}) }}", "state": "{{ item.state | default('present') }}"}
    return ("node", {**options, "role": role, **labels}, {"loop": items})


def changed(result):
    """Which nodes of a loop were, and how."""
    return {one["item"]["name"]: one["plan"]["steps"][0]["action"] for one in result["results"] if one["changed"]}


def test_a_play_declares_the_nodes_and_a_stack(swarm, name, played):
    labelled = each(swarm, node2={"labels": {"rack": "7"}})
    foretold, done, again = played((*labelled[:2], {**labelled[2], "check_mode": True}), labelled, labelled)
    assert changed(foretold) == changed(done) == {"node2": "update"}
    assert changed(again) == {}
    services = {"web": SERVICE | {"image": f"{swarm.image}:1"}}
    stack = ("stack", {"engine": "swarm", "project_name": name, "definition": {"services": services}})
    made, same = played(stack, stack)
    assert [step["action"] for step in made["plan"]["steps"]] == ["create", "create"]
    assert not same["changed"]


def test_a_play_lets_a_node_leave_and_join(swarm, played):
    left, gone, back, there = played(
        each(swarm, node3={"state": "absent"}), each(swarm, node3={"state": "absent"}), each(swarm), each(swarm)
    )
    assert changed(left) == {"node3": "delete"}
    assert changed(gone) == {}
    assert changed(back) == {"node3": "create"}
    assert changed(there) == {}


def test_a_play_keeps_secrets_and_configs_of_a_stack(swarm, name, played):
    kept = {"engine": "swarm", "name": f"{name}-key"}
    one, two = (("secret", {**kept, "data": f"planted-{number}"}) for number in (1, 2))
    config = ("config", {"engine": "swarm", "name": f"{name}-conf", "data": "listen: 80\n"})
    foretold, first, again, second, conf = played((*one, {"check_mode": True}), one, one, two, config)
    assert foretold["changed"]
    assert first["changed"]
    assert (again["changed"], again["name"]) == (False, first["name"])
    assert second["changed"]
    assert second["name"] != first["name"]

    def listed():
        return swarm.hosts[0].docker("secret", "ls", "--format", "{{.Name}}").split()

    assert second["name"] in listed()
    alone = {"deploy": {**SERVICE["deploy"], "replicas": 1}}
    service = {**SERVICE, **alone, "image": f"{swarm.image}:1", "secrets": ["key"], "configs": ["conf"]}
    secret = {"key": {"external": True, "name": second["name"]}}
    declared = {"secrets": secret, "configs": {"conf": {"external": True, "name": conf["name"]}}}
    declared["services"] = {"web": service}
    made, _ = played(
        ("stack", {"engine": "swarm", "project_name": name, "definition": declared}),
        ("stack", {"engine": "swarm", "project_name": name, "state": "absent"}),
    )
    assert made["changed"]
    gone, gone_again = played(*(("secret", {**kept, "state": "absent"}),) * 2)
    assert gone["changed"]
    assert not gone_again["changed"]
    played(("config", {"engine": "swarm", "name": f"{name}-conf", "state": "absent"}))
    assert not [one for one in listed() if one.startswith(name)]
