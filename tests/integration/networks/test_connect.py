"""`bayplan network connect` and `disconnect`: in place, kept over a restart, shown as drift, mended by an apply."""

import json
import os
import socket
import time

import pytest
import yaml

from integration.core.conftest import project
from integration.networks.test_reconnect import SERVE, free_port

__all__ = ["project"]
pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
WEB = "hc-web-1"


def compose(project, **web):
    box = {"image": "lab/busybox", "stop_signal": "SIGKILL"}
    served = {**box, "command": ["sh", "-c", SERVE], "networks": ["one"], **web}
    peer = {**box, "command": ["sleep", "600"], "networks": ["two"]}
    networks = {"one": {}, "two": {"ipam": {"config": [{"subnet": "10.212.9.0/24"}]}}}
    alone = {**box, "command": ["sleep", "600"], "network_mode": "none"}
    services = {"web": served, "peer": peer, "alone": alone}
    stack = {"name": "hc", "services": services, "networks": networks}
    project.file.write_text(yaml.safe_dump(stack))


def found(project):
    return json.loads(project("inspect", "web"))[0]


def places(project):
    return {name: item["IPAddress"] for name, item in found(project)["NetworkSettings"]["Networks"].items()}


def hosts(project, service):
    return project("exec", "-T", service, "cat", "/etc/hosts")


def planned(project):
    return {step["resource"]["name"]: step for step in json.loads(project("plan", "--json"))["steps"]}


def test_a_running_container_joins_stays_over_a_restart_and_an_apply_takes_it_off(project):
    compose(project)
    project("apply")
    pid = found(project)["State"]["Pid"]
    joining = ("network", "connect", "--ip", "10.212.9.77", "--alias", "shop", "--mac-address", "02:00:00:00:AA:77")
    assert project(*joining, "hc_two", WEB).strip() == WEB
    assert found(project)["State"]["Pid"] == pid
    assert places(project)["hc_two"] == "10.212.9.77"
    assert found(project)["NetworkSettings"]["Networks"]["hc_two"]["MacAddress"] == "02:00:00:00:aa:77"
    time.sleep(0.5)
    assert "10.212.9.77\tweb hc-web-1 shop" in hosts(project, "peer")
    assert "10.212.9.77" in hosts(project, "web").partition("# peers")[0]
    assert project("exec", "-T", "peer", "nc", "-w", "3", "shop", "7000") == "hello\n"
    assert f"container {WEB} is on network hc_two already" in project(*joining, "hc_two", WEB, ok=False)
    step = planned(project)[WEB]
    assert (step["action"], {item["how"] for item in step["fields"]}) == ("update", {"in-place"})
    assert "drift: the host no longer has what was applied" in step["why"]
    project("restart", "web")
    assert places(project)["hc_two"] == "10.212.9.77"
    assert WEB in planned(project)
    after = found(project)["State"]["Pid"]
    project("apply")
    assert set(places(project)) == {"hc_one"}
    assert found(project)["State"]["Pid"] == after
    assert planned(project) == {}
    project("restart", "web")
    assert set(places(project)) == {"hc_one"}
    events = project("events", "--since", "10m", "--until", "0s", "--json")
    assert '"connect"' in events


def test_a_container_leaves_its_network_and_an_apply_brings_it_back(project):
    port = free_port()
    compose(project, ports=[f"127.0.0.1:{port}:7000"])
    project("apply")

    def hello():
        with socket.create_connection(("127.0.0.1", port), timeout=3) as peer:
            return peer.recv(10)

    assert hello() == b"hello\n"
    assert "would close" in project("network", "disconnect", "hc_one", WEB, ok=False)
    assert set(places(project)) == {"hc_one"}
    project("network", "disconnect", "-f", "hc_one", WEB)
    assert places(project) == {}
    with pytest.raises(OSError, match="refused"):
        hello()
    assert f"container {WEB} is not on network hc_one" in project("network", "disconnect", "hc_one", WEB, ok=False)
    assert WEB in planned(project)
    # Without any network it starts too, and its port stays closed.
    project("restart", "web")
    assert places(project) == {}
    project("apply")
    assert hello() == b"hello\n"
    assert planned(project) == {}


def test_what_cannot_be_is_refused_and_nothing_changes(project):
    compose(project)
    project("apply")
    project("network", "connect", "--ip", "10.212.9.77", "hc_two", WEB)
    project("network", "disconnect", "hc_two", WEB)
    taken = project("network", "inspect", "hc_two")
    address = next(iter(json.loads(taken)[0]["Containers"].values()))["IPv4Address"].partition("/")[0]
    for said, argv in {
        "is held by container hc-peer-1": ("--ip", address, "hc_two", WEB),
        "is not in 10.212.9.0/24": ("--ip", "10.212.8.8", "hc_two", WEB),
        "is IPv6, which network hc_two has not": ("--ip6", "fd00::9", "hc_two", WEB),
        "network nowhere does not exist": ("nowhere", WEB),
        "container nobody does not exist": ("hc_two", "nobody"),
        "has no networks: its network_mode is none": ("hc_two", "hc-alone-1"),
        "mac_address": ("--mac-address", "nonsense", "hc_two", WEB),
    }.items():
        assert said in project("network", "connect", *argv, ok=False)
    assert set(places(project)) == {"hc_one"}
    assert planned(project) == {}


def test_a_stopped_container_joins_with_its_next_start(project):
    compose(project)
    project("apply")
    project("stop", "web")
    project("network", "connect", "hc_two", WEB)
    assert WEB in json.loads(project("network", "ls", "--json"))[1]["users"]
    project("start", "web")
    assert set(places(project)) == {"hc_one", "hc_two"}
