"""An edit of a running container's networks: done in place, shown as such, with everything that hangs on it."""

import json
import os
import socket
from pathlib import Path

import pytest
import yaml

from integration.core.conftest import project

__all__ = ["project"]
pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
SERVE = "while :; do nc -l -p 7000 -e echo hello; done"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def compose(project, web, networks=("one", "two", "inner"), port=None):
    """Declares a web server on the networks of ``web``, and a peer on all that are not internal."""
    box = {"image": "lab/busybox", "stop_signal": "SIGKILL"}
    served = {**box, "command": ["sh", "-c", SERVE], "networks": web}
    if port:
        served["ports"] = [f"127.0.0.1:{port}:7000"]
    peers = [name for name in networks if name != "inner"]
    declared = {name: {"internal": name == "inner"} for name in networks}
    declared["one"]["ipam"] = {"config": [{"subnet": "10.212.9.0/24"}]}
    services = {"web": served, "peer": {**box, "command": ["sleep", "600"], "networks": peers}}
    project.file.write_text(yaml.safe_dump({"name": "rc", "services": services, "networks": declared}))


def steps(project):
    return {step["resource"]["name"]: step for step in json.loads(project("plan", "--json"))["steps"]}


def pid(project):
    return {item["name"]: item["pid"] for item in json.loads(project("status", "--json"))}["rc-web-1"]


def places(project):
    found = json.loads(project("inspect", "web"))[0]["NetworkSettings"]["Networks"]
    return {name.removeprefix("rc_"): item["IPAddress"] for name, item in found.items()}


def routes(project):
    lines = Path(f"/proc/{pid(project)}/net/route").read_text().splitlines()[1:]
    return [line.split()[0] for line in lines if line.split()[1] == "00000000"]


def change(project, *args, **options):
    """Applies an edit that must be one in place, exactly as it was shown; the process stays."""
    before = pid(project)
    compose(project, *args, **options)
    shown = steps(project)
    assert shown["rc-web-1"]["action"] == "update", shown
    assert {item["how"] for item in shown["rc-web-1"]["fields"]} == {"in-place"}
    done = json.loads(project("apply", "--json"))
    assert set(done["done"]) == {f"{step['resource']['kind']} {name}" for name, step in shown.items()}
    assert pid(project) == before
    assert steps(project) == {}


def test_networks_are_joined_and_left_in_place(project):
    port = free_port()
    compose(project, {"one": {}}, port=port)
    project("apply")
    first = places(project)["one"]

    def hello():
        with socket.create_connection(("127.0.0.1", port), timeout=3) as peer:
            return peer.recv(10)

    assert hello() == b"hello\n"
    change(project, {"one": {}, "two": {}, "inner": {}}, port=port)
    assert places(project)["one"] == first
    assert set(places(project)) == {"one", "two", "inner"}
    assert hello() == b"hello\n"
    hosts = project("exec", "-T", "peer", "cat", "/etc/hosts")
    assert f"{places(project)['two']}\tweb" in hosts
    # Away from the network that its port and its way out were on.
    change(project, {"two": {}, "inner": {}}, port=port)
    assert hello() == b"hello\n"
    assert len(routes(project)) == 1
    own = project("exec", "-T", "web", "cat", "/etc/hosts")
    assert first not in own
    assert places(project)["two"] in own.partition("# peers")[0]
    gateway = json.loads(project("network", "inspect", "rc_two"))[0]["IPAM"]["Config"][0]["Gateway"]
    told = project("exec", "-T", "web", "cat", "/etc/resolv.conf")
    assert f"nameserver {gateway}" in told or "nameserver" not in told
    assert first not in project("exec", "-T", "peer", "cat", "/etc/hosts")


def test_aliases_and_addresses_change_in_place(project):
    compose(project, {"one": {"aliases": ["old"]}, "two": {}})
    project("apply")
    change(project, {"one": {"aliases": ["new"]}, "two": {}})
    hosts = project("exec", "-T", "peer", "cat", "/etc/hosts")
    assert " new" in hosts
    assert " old" not in hosts
    change(project, {"one": {"aliases": ["new"], "ipv4_address": "10.212.9.77"}, "two": {}})
    assert places(project)["one"] == "10.212.9.77"
    assert "10.212.9.77\tweb" in project("exec", "-T", "peer", "cat", "/etc/hosts")


def test_a_network_that_nobody_declares_any_more_goes_after_those_who_leave_it(project):
    compose(project, {"one": {}, "two": {}})
    project("apply")
    change(project, {"one": {}}, networks=("one", "inner"))
    assert [item["name"] for item in json.loads(project("network", "ls", "--json"))] == ["rc_one"]


def test_a_stopped_container_lets_go_and_comes_back_on_its_new_networks(project):
    compose(project, {"one": {}, "two": {}})
    project("apply")
    project("stop", "web")
    compose(project, {"two": {}})
    project("apply")
    assert set(places(project)) == {"two"}
    assert json.loads(project("network", "inspect", "rc_one"))[0]["Containers"].keys().__len__() == 1
