"""`bayplan network` on the real core."""

import json
import os

import pytest

from integration.core.conftest import project

__all__ = ["project"]
pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
COMPOSE = """\
name: nv
services:
  web: {image: lab/busybox, command: [sleep, "600"], stop_signal: SIGKILL, networks: {net: {ipv4_address: 10.212.9.7}}}
networks:
  net:
    enable_ipv6: true
    labels: {team: blue}
    ipam:
      config:
        - {subnet: 10.212.9.0/24, ip_range: 10.212.9.0/25, aux_addresses: {router: 10.212.9.3}}
        - {subnet: "fd57:9::/64"}
"""


def listed(project):
    return {item["name"]: item for item in json.loads(project("network", "ls", "--json"))}


def test_networks_are_listed_shown_and_removed(project):
    project.file.write_text(COMPOSE)
    project("apply")
    assert "nv_net" in project("network", "ls")
    assert listed(project)["nv_net"]["users"] == ["nv-web-1"]
    found = json.loads(project("network", "inspect", "nv_net"))[0]
    assert (found["Driver"], found["EnableIPv6"], found["Labels"]["team"]) == ("bridge", True, "blue")
    assert found["IPAM"]["Config"] == [
        {
            "Subnet": "10.212.9.0/24",
            "Gateway": "10.212.9.1",
            "IPRange": "10.212.9.0/25",
            "AuxiliaryAddresses": {"router": "10.212.9.3"},
        },
        {"Subnet": "fd57:9::/64", "Gateway": "fd57:9::1"},
    ]
    member = next(iter(found["Containers"].values()))
    assert (member["Name"], member["IPv4Address"], member["IPv6Address"]) == (
        "nv-web-1",
        "10.212.9.7/24",
        "fd57:9::7/64",
    )
    # Stopped, it will need its network again.
    project("stop")
    assert "used by containers nv-web-1" in project("network", "rm", "nv_net", ok=False)
    assert json.loads(project("network", "prune", "--dry-run", "--json"))["unused"] == []
    project("rm")
    assert "1 networks would be removed" in project("network", "prune", ok=False)
    assert json.loads(project("network", "prune", "--dry-run", "--json")) == {"removed": [], "unused": ["nv_net"]}
    assert "nv_net" in listed(project)
    assert json.loads(project("network", "prune", "-f", "--json"))["removed"] == ["nv_net"]
    assert listed(project) == {}
    assert "does not exist" in project("network", "rm", "nv_net", ok=False)
    assert "does not exist" in project("network", "inspect", "nv_net", ok=False)
    # The next plan sees it: the network is declared.
    assert "nv_net" in project("plan")


OUTER = """
name: nv
services: {web: {image: lab/busybox, command: [sleep, '600'], stop_grace_period: 0s, networks: [o], volumes: ["d:/d"]}}
networks: {o: {external: true, name: outer}}
volumes: {d: {external: true, name: kept}}
"""


def test_what_is_external_is_made_by_hand_and_outlives_the_project(project):
    project.file.write_text(OUTER)
    assert "external network outer does not exist (`bayplan network create outer`" in project("apply", ok=False)
    made = ("network", "create", "--subnet", "10.212.77.0/24", "--gateway", "10.212.77.9", "--label", "a=b", "outer")
    assert "+ create    network outer" in project(*made)
    assert "external volume kept does not exist (`bayplan volume create kept`" in project("apply", ok=False)
    project("volume", "create", "kept")
    project("apply")
    outer = listed(project)["outer"]
    assert (outer["addresses"]["gateway"], outer["users"]) == ("10.212.77.9", ["nv-web-1"])
    assert "network outer exists" in project("network", "create", "outer", ok=False)
    assert "not a valid" in project("network", "create", "--subnet", "lots", "other", ok=False)
    project("destroy", "--volumes")
    assert project("network", "ls", "-q") == "outer\n"
    assert project("network", "inspect", "outer", "--format", "{{.Labels.a}}") == "b\n"
    project("network", "rm", "outer")
    project("volume", "rm", "kept")
