"""Several address ranges of a family on one network: the next begins when the one before is full."""

import json
import os
from ipaddress import ip_network
from pathlib import Path

import pytest

from bayplan.errors import ConflictError
from bayplan.models import Container, Endpoint, Network, Port
from integration.core.conftest import project
from integration.networks.test_drivers import declared, lan, macvlan, run, within
from integration.networks.test_networks import ask, container, free_port, networks, serve, stop
from integration.networks.test_published_ports import outside

__all__ = ["lan", "networks", "outside", "project"]
pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
TWO = {
    "subnet": "10.246.1.0/29",
    "ip_range": "10.246.1.0/30",
    "further_ranges": [{"subnet": "10.246.2.0/24", "gateway": "10.246.2.9"}],
}


def place(networks, name="n", **options):
    return networks.attach(container(), [Endpoint(network=name, **options)], [])


def test_the_next_range_begins_when_one_is_full_and_all_reach_all(networks, outside):
    networks.create(Network(name="n", **TWO), "p")
    first, second, third = (place(networks) for _ in range(3))
    assert [str(one.addresses["n"]) for one in (first, second, third)] == ["10.246.1.2", "10.246.1.3", "10.246.2.1"]
    assert [str(one.gateway) for one in (first, third)] == ["10.246.1.1", "10.246.2.9"]
    assert "10.246.2.1/24" in within(third.netns, "ip", "addr", "show", "eth0")
    server = serve(third.netns, third.addresses["n"], 7000)
    assert ask(third.addresses["n"], 7000, first.netns).startswith(b"hello")
    assert ask(third.addresses["n"], 7000) == b"hello 10.246.2.9"
    with pytest.raises(OSError, match=r"timed out|unreachable"):
        ask(third.addresses["n"], 7000, outside)
    stop(server)
    world = serve(outside, "198.51.100.2", 7000)
    assert ask("198.51.100.2", 7000, third.netns) == b"hello 198.51.100.1"
    stop(world)
    other = Network(name="o", subnet="10.246.2.128/25")
    with pytest.raises(ConflictError, match=r"overlaps 10\.246\.2\.0/24 of n"):
        networks.check(other)


def test_a_port_leads_to_a_container_of_the_second_range(networks, outside):
    networks.create(Network(name="n", **TWO), "p")
    box, port = container(), free_port()
    asked = [Endpoint(network="n", ipv4_address="10.246.2.50")]
    one = networks.attach(box, asked, [Port(target=7000, published=port)])
    server = serve(one.netns, one.addresses["n"], 7000)
    assert ask("198.51.100.1", port, outside).startswith(b"hello")
    assert ask("127.0.0.1", port).startswith(b"hello")
    stop(server)


def test_what_cannot_be_given_is_refused_in_the_plan(networks):
    made = Network(name="n", **TWO)
    for address, said in {
        "10.246.3.1": "is not in 10.246.1.0/29, 10.246.2.0/24",
        "10.246.2.9": "the gateway's",
    }.items():
        asked = Container(name="c", image="x", networks=[Endpoint(network="n", ipv4_address=address)])
        with pytest.raises(ConflictError, match=said):
            networks.check_all([made], [asked])
    tight = Network(name="n", subnet="10.246.1.0/30", further_ranges=[{"subnet": "10.246.2.0/30"}])
    many = [Container(name=f"c{at}", image="x", networks=[Endpoint(network="n")]) for at in range(3)]
    networks.check_all([tight], many[:2])
    with pytest.raises(ConflictError, match="network n has 2 addresses: 0 are held, 3 more are wanted"):
        networks.check_all([tight], many)


@pytest.mark.skipif(not Path("/proc/sys/net/ipv6").exists(), reason="the kernel has no IPv6")
def test_ranges_of_ipv6(networks):
    further = [{"subnet": "fd46:2::/64"}, {"subnet": "10.246.2.0/24"}]
    networks.create(
        Network(name="n", subnet="10.246.1.0/24", enable_ipv6=True, ipv6_subnet="fd46:1::/126", further_ranges=further),
        "p",
    )
    places = [place(networks) for _ in range(4)]
    given = [one.places[0].address6 for one in places]
    assert len(set(given)) == 4
    assert [one in ip_network("fd46:1::/126") for one in given] == [True, True, False, False]
    assert "default via fd46:2::1" in within(places[3].netns, "ip", "-6", "route")
    assert networks.observe("p", [])[0].defects == {}
    boxes = [row[0] for row in networks.database.query("SELECT container_id FROM endpoints")]
    assert all(networks.endpoint_defects(box, networks.kernel()) == {} for box in boxes)


def test_a_lost_address_of_the_second_range_is_drift(networks):
    networks.create(Network(name="n", **TWO), "p")
    bridge = networks.observe("p", [])[0].handle
    run("ip", "addr", "del", "10.246.2.9/24", "dev", bridge)
    assert networks.observe("p", [])[0].defects == {f"bridge {bridge} lost its address 10.246.2.9": "in-place"}
    networks.heal("n")
    assert networks.observe("p", [])[0].defects == {}


@macvlan
def test_macvlan_has_them_too(networks, lan):
    networks.create(declared("m", lan, **TWO), "p")
    one = place(networks, "m", ipv4_address="10.246.2.7")
    assert "default via 10.246.2.9" in within(one.netns, "ip", "route")


COMPOSE = """\
name: rg
services:
  a: {image: lab/busybox, command: [sleep, "600"], stop_signal: SIGKILL, networks: {n: {ipv4_address: 10.246.1.2}}}
  b: {image: lab/busybox, command: [sleep, "600"], stop_signal: SIGKILL, networks: {n: {ipv4_address: 10.246.2.2}}}
networks:
  n: {ipam: {config: [{subnet: 10.246.1.0/24}, {subnet: 10.246.2.0/24}]}}
"""


def test_a_stack_with_two_ranges(project):
    project.file.write_text(COMPOSE)
    project("apply")
    assert json.loads(project("plan", "--json"))["steps"] == []
    shown = json.loads(project("network", "inspect", "rg_n"))[0]
    assert [one["Gateway"] for one in shown["IPAM"]["Config"]] == ["10.246.1.1", "10.246.2.1"]
    assert {one["IPv4Address"] for one in shown["Containers"].values()} == {"10.246.1.2/24", "10.246.2.2/24"}
    own = json.loads(project("inspect", "b"))[0]["NetworkSettings"]["Networks"]["rg_n"]
    assert (own["Gateway"], own["IPPrefixLen"]) == ("10.246.2.1", 24)
    if Path("/usr/lib/podman/aardvark-dns").exists():
        assert "10.246.1.2" in project("exec", "-T", "b", "/bin/busybox", "nslookup", "a")
