"""Three hosts brought back to the swarm that is declared, whatever a test left of it."""

import json
import time

from bayplan.runtime.engine_api.answers import AnswerError

LEADER_S, SETTLE_S, GONE_S = 30, 60, 30


def bring_back(swarm):
    """Every host up, in one swarm, as declared, without any stack. Raises AssertionError saying what is otherwise."""
    for host in swarm.hosts:
        if not host.answers():
            host.kill()
            host.boot()
    for host in swarm.hosts:
        host.up()
    if not _eventually(lambda: _is_led(swarm.hosts[0]), LEADER_S) or not _cleared(swarm):
        for host in swarm.hosts:
            leave(host)
        swarm.reopen()
    swarm.apply(swarm.declared())
    assert _eventually(lambda: _as_declared(swarm), SETTLE_S), f"the swarm does not come back: {_told(swarm)}"


def leave(host):
    """Its engine is in no swarm any longer, whatever that one thinks of it."""
    with host.client() as client:
        if _state(client)["LocalNodeState"] != "inactive":
            client.call("POST", "/swarm/leave", query={"force": True})


def _is_led(host):
    """Whether its engine is a manager of a swarm that has a leader, or in no swarm: then it makes one."""
    with host.client() as client:
        state = _state(client)
        if state["LocalNodeState"] == "inactive":
            return True
        try:
            return state["ControlAvailable"] and bool(client.call("GET", "/nodes"))
        except AnswerError:
            return False


def _cleared(swarm):
    """Leave nodes that are our hosts, each once, and no stack; whether that was to be had in this swarm."""
    with swarm.hosts[0].client() as first:
        if _state(first)["LocalNodeState"] == "inactive":
            return False
        listed = {node["ID"]: node for node in first.call("GET", "/nodes")}
        own = set()
        for host in swarm.hosts:
            with host.client() as client:
                known = _state(client)["NodeID"]
            if known in listed:
                own.add(known)
            else:
                leave(host)
        for gone in listed.keys() - own:
            if listed[gone]["Spec"]["Role"] == "manager":
                return False
            first.call("DELETE", f"/nodes/{gone}", query={"force": True})
        return _eventually(lambda: not _stacks(first), GONE_S)


def _stacks(client):
    """What stacks have left, asked to go."""
    lists = {kind: client.call("GET", f"/{kind}") or [] for kind in ("services", "secrets", "configs")}
    left = [f"/{kind}/{one['ID']}" for kind, found in lists.items() for one in found]
    overlays = client.call("GET", "/networks", query={"filters": json.dumps({"driver": ["overlay"]})})
    left += [f"/networks/{one['Id']}" for one in overlays if not one.get("Ingress")]
    for path in left:
        try:
            client.call("DELETE", path)
        except AnswerError:
            continue  # in use by what ends just now
    return left


def _as_declared(swarm):
    plan = swarm.plan(swarm.declared())
    return not plan.steps and not plan.warnings


def _told(swarm):
    plan = swarm.plan(swarm.declared())
    steps = [(str(step.resource), step.why, step.fields) for step in plan.steps]
    logs = {host.name: host.log()[-500:] for host in swarm.hosts}
    return f"{steps}, {plan.warnings}; {logs}"


def _state(client):
    return client.call("GET", "/info")["Swarm"]


def _eventually(condition, limit_s):
    end = time.monotonic() + limit_s
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.3)
    return found
