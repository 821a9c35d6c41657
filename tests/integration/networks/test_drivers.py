"""macvlan and ipvlan with real frames to a host on the parent's link. The kernel must have them (`./run vm` has)."""

import contextlib
import json
import os
import socket
import subprocess
import time
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from bayplan.errors import ConflictError, NotFoundError, RuntimeFailureError, UnsupportedError
from bayplan.models import Container, Endpoint, Network, Port
from bayplan.runtime.native.networks import parents
from bayplan.runtime.native.networks.links import Links
from bayplan.system import namespaces
from bayplan.system.namespaces import NetworkNamespace
from integration.core.conftest import project
from integration.networks.test_networks import ask, container, free_port, networks, serve, stop

__all__ = ["networks", "project"]


def has(kind):
    if os.geteuid() != 0:
        return False
    links = Links()
    try:
        return links.knows(kind)
    finally:
        links.close()


pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
macvlan = pytest.mark.skipif(not has("macvlan"), reason="the kernel has no macvlan")
ipvlan = pytest.mark.skipif(not has("ipvlan"), reason="the kernel has no ipvlan")
vlan = pytest.mark.skipif(not has("vlan"), reason="the kernel has no 8021q")
SUBNET = "10.245.7.0/24"
ROUTER = "10.245.7.1"


def run(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=20).stdout


def within(netns, *argv):
    return run("nsenter", f"--net={netns.path}", *argv)


@pytest.fixture
def lan(networks):
    """A link of the host, and a router behind it in a namespace. Gives both."""
    netns, name = NetworkNamespace.create(), f"{networks.settings.interface_prefix}lan"
    run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    run("ip", "link", "set", name, "up")
    run("ip", "link", "set", f"{name}p", "netns", str(netns.path))
    within(netns, "ip", "link", "set", "lo", "up")
    within(netns, "ip", "link", "set", f"{name}p", "name", "up0", "up")
    within(netns, "ip", "addr", "add", f"{ROUTER}/24", "dev", "up0")
    within(netns, "ip", "-6", "addr", "add", "fd45:7::1/64", "dev", "up0", "nodad")
    yield name, netns
    with contextlib.suppress(subprocess.CalledProcessError):
        run("ip", "link", "del", name)
    netns.close()


def declared(name, lan, **more):
    return Network(**{"name": name, "driver": "macvlan", "parent": lan[0], "subnet": SUBNET, **more})


def link(netns, name="eth0"):
    return within(netns, "ip", "-d", "link", "show", name)


@macvlan
@pytest.mark.parametrize("mode", [None, "bridge", "private", "vepa", "passthru"])
def test_macvlan_containers_are_on_the_link_of_the_host(networks, lan, mode):
    networks.create(declared("m", lan, mode=mode, enable_ipv6=True, ipv6_subnet="fd45:7::/64", mtu=1400), "p")
    assert networks.observe("p", [])[0].defects == {}
    mac = None if mode == "passthru" else "02:00:00:00:00:11"
    one = networks.attach(container(), [Endpoint(network="m", mac_address=mac)], [])
    shown = link(one.netns)
    assert f"macvlan mode {mode or 'bridge'}" in shown
    assert "mtu 1400" in shown
    assert (mac or Path(f"/sys/class/net/{lan[0]}/address").read_text().strip()) in shown
    server = serve(lan[1], ROUTER, 7000)
    assert ask(ROUTER, 7000, one.netns) == b"hello " + str(one.addresses["m"]).encode()
    assert f"default via {ROUTER} dev eth0" in within(one.netns, "ip", "route")
    assert "default via fd45:7::1 dev eth0" in within(one.netns, "ip", "-6", "route")
    stop(server)
    if mode == "passthru":
        with pytest.raises(RuntimeFailureError, match="macvlan link eth0"):
            networks.attach(container(), [Endpoint(network="m")], [])
        return
    two = networks.attach(container(), [Endpoint(network="m")], [])
    server = serve(one.netns, one.addresses["m"], 7000)
    if mode in (None, "bridge"):
        assert ask(one.addresses["m"], 7000, two.netns).startswith(b"hello")
    else:
        with pytest.raises(OSError, match=r"timed out|unreachable|No route"):
            ask(one.addresses["m"], 7000, two.netns)
    # From the host itself nobody is reached, whatever route it has.
    run("ip", "addr", "add", "10.245.7.99/24", "dev", lan[0])
    with pytest.raises(OSError, match=r"timed out|unreachable|No route"):
        ask(one.addresses["m"], 7000)
    stop(server)


@pytest.mark.parametrize("driver", [pytest.param("macvlan", marks=macvlan), pytest.param("ipvlan", marks=ipvlan)])
def test_links_of_ipv6_alone(networks, lan, driver):
    only = {"subnet": None, "enable_ipv4": False, "enable_ipv6": True, "ipv6_subnet": "fd45:7::/64"}
    networks.create(declared("s", lan, driver=driver, **only), "p")
    assert networks.observe("p", [])[0].defects == {}
    one = networks.attach(container(), [Endpoint(network="s")], [])
    assert "inet " not in within(one.netns, "ip", "-4", "addr", "show", "eth0")
    assert "default via fd45:7::1 dev eth0" in within(one.netns, "ip", "-6", "route")
    made = namespaces.in_network(lan[1].path, lambda: socket.create_server(("fd45:7::1", 7000), family=socket.AF_INET6))
    with made, namespaces.in_network(one.netns.path, lambda: socket.create_connection(("fd45:7::1", 7000), 5)) as peer:
        assert peer.getsockname()[0] == str(one.addresses["s"])


@ipvlan
@pytest.mark.parametrize("mode", [None, "l2", "l3", "l3s"])
def test_ipvlan_containers_share_the_mac_of_the_link(networks, lan, mode):
    networks.create(declared("i", lan, driver="ipvlan", mode=mode), "p")
    one = networks.attach(container(), [Endpoint(network="i")], [])
    two = networks.attach(container(), [Endpoint(network="i")], [])
    mac = Path(f"/sys/class/net/{lan[0]}/address").read_text().strip()
    assert f"ipvlan  mode {mode or 'l2'}" in link(one.netns)
    assert mac in link(one.netns)
    server = serve(one.netns, one.addresses["i"], 7000)
    assert ask(one.addresses["i"], 7000, two.netns).startswith(b"hello")
    stop(server)
    routes = within(one.netns, "ip", "route")
    server = serve(lan[1], ROUTER, 7000)
    if mode in (None, "l2"):
        assert f"default via {ROUTER} dev eth0" in routes
    else:
        assert "default dev eth0 " in routes
        # Nobody answers for them there: the router must be told where they are.
        within(lan[1], "ip", "neigh", "add", str(one.addresses["i"]), "lladdr", mac, "dev", "up0")
    assert ask(ROUTER, 7000, one.netns).startswith(b"hello")
    stop(server)


@macvlan
@vlan
def test_a_vlan_link_is_made_and_goes_with_its_last_network(networks, lan):
    parent = f"{lan[0]}.10"
    within(lan[1], "ip", "link", "add", "link", "up0", "name", "up0.10", "type", "vlan", "id", "10")
    within(lan[1], "ip", "addr", "add", "10.245.8.1/24", "dev", "up0.10")
    within(lan[1], "ip", "link", "set", "up0.10", "up")
    tagged = {"parent": parent, "subnet": "10.245.8.0/24"}
    networks.check(declared("v", lan, **tagged))
    assert not parents.exists(parent)
    networks.create(declared("v", lan, **tagged), "p")
    networks.create(declared("w", lan, parent=parent, subnet="10.245.9.0/24"), "p")
    box = container()
    one = networks.attach(box, [Endpoint(network="v")], [])
    server = serve(lan[1], "10.245.8.1", 7000)
    assert ask("10.245.8.1", 7000, one.netns) == b"hello " + str(one.addresses["v"]).encode()
    # Taken away by hand, it is drift, and so are the links that went with it.
    run("ip", "link", "del", parent)
    assert networks.observe("p", ["v"])[0].defects == {f"parent {parent} is missing": "in-place"}
    networks.heal("v")
    assert networks.observe("p", [])[0].defects == {}
    networks.heal_endpoints(box, one.netns)
    assert ask("10.245.8.1", 7000, one.netns).startswith(b"hello")
    stop(server)
    networks.detach(box)
    networks.delete("v")
    assert parents.exists(parent)
    networks.delete("w")
    assert not parents.exists(parent)
    # One that was there before stays.
    run("ip", "link", "add", "link", lan[0], "name", parent, "type", "vlan", "id", "10")
    networks.create(declared("x", lan, **tagged), "p")
    networks.delete("x")
    assert parents.exists(parent)
    run("ip", "link", "del", parent)


@macvlan
def test_links_inside_are_held_against_the_records_and_made_again(networks, lan):
    networks.create(declared("m", lan), "p")
    networks.create(Network(name="b"), "p")
    with running(networks, [Endpoint(network="m"), Endpoint(network="b")]) as (box, pid, place):
        assert networks.endpoint_defects(box, networks.kernel(), pid) == {}
        within(place.netns, "ip", "link", "del", "eth0")
        assert set(networks.endpoint_defects(box, networks.kernel(), pid)) == {"its link to network m is gone"}
        networks.heal_endpoints(box, place.netns)
        assert networks.endpoint_defects(box, networks.kernel(), pid) == {}
        assert str(place.addresses["m"]) in within(place.netns, "ip", "addr", "show", "eth0")
        # Left and joined while it runs.
        networks.reconnect(box, [Endpoint(network="b")], [], place.netns)
        assert "eth0" not in within(place.netns, "ip", "-o", "link")
        networks.reconnect(box, [Endpoint(network="b"), Endpoint(network="m")], [], place.netns)
        assert "macvlan" in link(place.netns, "eth0")
    run("ip", "link", "set", lan[0], "down")
    found = networks.observe("p", ["m"])
    assert next(item for item in found if item.actual.name == "m").notes == (
        f"parent {lan[0]} is down: its containers reach nobody",
    )


@contextlib.contextmanager
def running(networks, endpoints):
    """A process in a container's namespace."""
    box = container()
    place = networks.attach(box, endpoints, [])
    with subprocess.Popen(["nsenter", f"--net={place.netns.path}", "sleep", "60"]) as process:
        try:
            while Path(f"/proc/{process.pid}/comm").read_text().strip() != "sleep":
                time.sleep(0.01)
            yield box, process.pid, place
        finally:
            process.kill()


@macvlan
def test_an_address_is_given_again_at_once(networks, lan):
    """The namespace of the one before may still be there: the kernel removes it some time later."""
    networks.create(declared("m", lan, mode="passthru"), "p")
    for _ in range(3):
        box = container()
        place = networks.attach(box, [Endpoint(network="m", ipv4_address="10.245.7.50")], [])
        assert place.addresses["m"] == IPv4Address("10.245.7.50")
        networks.detach(box, ended=True)
        place.netns.close()


def check(networks, *containers, made=()):
    networks.check_all(list(made), list(containers))


def test_what_the_driver_cannot_give_is_refused_in_the_plan(networks, lan):
    kinds = {"macvlan": has("macvlan"), "ipvlan": has("ipvlan")}
    for kind, there in kinds.items():
        if not there:
            with pytest.raises(UnsupportedError, match=f"the kernel has no {kind} links"):
                networks.check(declared("n", lan, driver=kind))
    with pytest.raises(NotFoundError, match="parent nowhere0 does not exist"):
        networks.check(declared("n", lan, parent="nowhere0"))
    with pytest.raises(NotFoundError, match=r"parent nowhere0\.10 does not exist"):
        networks.check(declared("n", lan, parent="nowhere0.10"))
    with pytest.raises(ConflictError, match="loopback"):
        networks.check(declared("n", lan, parent="lo"))
    asked = Container(name="c", image="x", ports=[Port(target=80, published=8080)], networks=[Endpoint(network="n")])
    if kinds["macvlan"]:
        with pytest.raises(ConflictError, match=r"port .*8080.* cannot be published from n \(macvlan\)"):
            check(networks, asked, made=[declared("n", lan)])
        both = asked.model_copy(update={"networks": (*asked.networks, Endpoint(network="b"))})
        check(networks, both, made=[declared("n", lan), Network(name="b")])
        networks.create(declared("m", lan), "p")
        with pytest.raises(ConflictError, match="overlaps"):
            networks.check(declared("n", lan))
        if kinds["ipvlan"]:
            with pytest.raises(ConflictError, match="is used by network m"):
                networks.check(declared("n", lan, driver="ipvlan", subnet="10.245.9.0/24"))
        with pytest.raises(ConflictError, match="is used by network m"):
            networks.check(declared("n", lan, mode="passthru", subnet="10.245.9.0/24"))
    bridge = f"{networks.settings.interface_prefix}br"
    run("ip", "link", "add", bridge, "type", "bridge")
    try:
        run("ip", "link", "set", lan[0], "master", bridge)
        if kinds["macvlan"]:
            with pytest.raises(ConflictError, match=f"parent {lan[0]} belongs to {bridge}"):
                networks.check(declared("n", lan, subnet="10.245.9.0/24"))
    finally:
        run("ip", "link", "del", bridge)
    refused = Container(name="c", image="x", networks=[Endpoint(network="n", mac_address="02:00:00:00:00:01")])
    if kinds["ipvlan"] and not kinds["macvlan"]:
        with pytest.raises(ConflictError, match="have the MAC address of"):
            check(networks, refused, made=[declared("n", lan, driver="ipvlan")])


def test_a_port_of_an_internal_network_is_refused_in_the_plan(networks):
    asked = Container(
        name="c", image="x", ports=[Port(target=80, published=8080)], networks=[Endpoint(network="inner")]
    )
    with pytest.raises(ConflictError, match=r"cannot be published from inner \(internal\)"):
        check(networks, asked, made=[Network(name="inner", internal=True)])


def test_the_host_end_needs_no_name_server(networks, lan):
    """Nobody here can answer on the router's address: peers are in hosts files, and no drift is told of."""
    if not has("macvlan"):
        pytest.skip("the kernel has no macvlan")
    networks.create(declared("m", lan), "p")
    place = networks.attach(container(), [Endpoint(network="m")], [])
    assert place.name_server is None
    assert networks.observe("p", [])[0].defects == {}
    assert networks.observe("p", [])[0].notes == ()
    assert namespaces.in_network(place.netns.path, lambda: socket.if_nametoindex("eth0"))


COMPOSE = """\
name: mv
services:
  web:
    image: lab/busybox
    command: [sh, -c, 'while :; do nc -l -p 7000 -e echo hello; done']
    stop_signal: SIGKILL
    networks: {{lan: {{interface_name: lan0}}, out: {{gw_priority: 1}}}}
    ports: ["127.0.0.1:{port}:7000"]
  peer: {{image: lab/busybox, command: [sleep, "600"], stop_signal: SIGKILL, networks: [lan]}}
networks:
  out: {{}}
  lan:
    driver: macvlan
    driver_opts: {{parent: {parent}}}
    ipam: {{config: [{{subnet: 10.245.7.0/24, ip_range: 10.245.7.128/26}}]}}
"""


# The server may have been started a moment ago only.
ASK = "for again in 1 2 3 4 5 6 7 8 9; do nc -w 3 web 7000 && break; sleep 0.2; done"


@macvlan
def test_a_stack_on_a_link_of_the_host(project, networks, lan):
    port = free_port()
    project.file.write_text(COMPOSE.format(parent=lan[0], port=port))
    project("apply")
    assert json.loads(project("plan", "--json"))["steps"] == []
    found = json.loads(project("network", "inspect", "mv_lan"))[0]
    assert (found["Driver"], found["Options"]) == ("macvlan", {"parent": lan[0]})
    assert project("exec", "-T", "peer", "sh", "-c", ASK) == "hello\n"
    with suppress(ConnectionRefusedError):  # it is between two of its listeners
        ask("127.0.0.1", port)
    time.sleep(0.5)
    assert ask("127.0.0.1", port) == b"hello\n"
    text = project("exec", "-T", "web", "cat", "/proc/net/route")
    assert [line.split()[0] for line in text.splitlines() if line.split()[1] == "00000000"] == ["eth0"]
    assert "lan0" in text
    pid = json.loads(project("inspect", "web"))[0]["State"]["Pid"]
    run("nsenter", "-t", str(pid), "-n", "ip", "link", "del", "lan0")
    step = json.loads(project("plan", "--json"))["steps"][0]
    assert (step["action"], step["why"]) == ("heal", "drift: its link to network mv_lan is gone")
    project("apply")
    assert json.loads(project("inspect", "web"))[0]["State"]["Pid"] == pid
    assert project("exec", "-T", "peer", "sh", "-c", ASK) == "hello\n"
    project.file.write_text(COMPOSE.format(parent="nowhere0", port=port))
    assert "parent nowhere0 does not exist" in project("plan", ok=False)
