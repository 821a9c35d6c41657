"""What is declared of single links and of a bridge: names, priorities, further addresses, settings, MTU, isolation."""

import os
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from bayplan.errors import ConflictError
from bayplan.models import Container, Endpoint, Network, Port
from bayplan.system import namespaces
from integration.networks.test_networks import ask, container, free_port, networks, serve, stop
from integration.networks.test_published_ports import outside

__all__ = ["networks", "outside"]
pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def within(netns, *argv):
    argv = ["nsenter", f"--net={netns.path}", *argv]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=20).stdout


def way(netns):
    return [line.split()[4] for line in within(netns, "ip", "route").splitlines() if line.startswith("default")]


def test_the_way_out_is_that_of_the_highest_priority_and_moves_in_place(networks):
    for name in ("a", "b", "inner"):
        networks.create(Network(name=name, internal=name == "inner", enable_ipv6=True), "p")
    box = container()
    wanted = [
        Endpoint(network="a"),
        Endpoint(network="b", gw_priority=1),
        Endpoint(network="inner", gw_priority=9),
    ]
    place = networks.attach(box, wanted, [])
    assert way(place.netns) == ["eth1"]
    assert "default via" in within(place.netns, "ip", "-6", "route", "show", "dev", "eth1")
    networks.reconnect(box, [wanted[0].model_copy(update={"gw_priority": 2}), *wanted[1:]], [], place.netns)
    assert way(place.netns) == ["eth0"]
    assert "default via" not in within(place.netns, "ip", "-6", "route", "show", "dev", "eth1")
    assert networks.endpoint_defects(box, networks.kernel()) == {}


def test_links_have_declared_names_and_the_rest_free_ones(networks):
    for name in ("a", "b", "c"):
        networks.create(Network(name=name), "p")
    box = container()
    wanted = [Endpoint(network="a", interface_name="eth1"), Endpoint(network="b"), Endpoint(network="c")]
    place = networks.attach(box, wanted, [])
    assert [one.name for one in place.places] == ["eth1", "eth0", "eth2"]
    again = [wanted[0].model_copy(update={"interface_name": "front0"}), *wanted[1:]]
    networks.reconnect(box, again, [], place.netns)
    assert "front0" in within(place.netns, "ip", "-o", "link")
    assert "eth1" not in within(place.netns, "ip", "-o", "link")
    with pytest.raises(ValidationError, match="two networks have interface_name x"):
        Container(name="c", image="i", networks=[Endpoint(network=n, interface_name="x") for n in "ab"])
    with pytest.raises(ValidationError, match="kernel's own"):
        Endpoint(network="a", interface_name="lo")


def test_link_local_addresses_and_settings_of_a_link(networks):
    networks.create(Network(name="a", enable_ipv6=True), "p")
    networks.create(Network(name="four"), "p")
    asked = Endpoint(
        network="a",
        link_local_ips=["169.254.9.9", "fe80::9"],
        sysctls={"net.ipv4.conf.IFNAME.log_martians": "1", "net.ipv6.conf.IFNAME.hop_limit": "33"},
    )
    one = networks.attach(container(), [asked], [])
    two = networks.attach(container(), [Endpoint(network="a", link_local_ips=["169.254.9.8"])], [])
    shown = within(one.netns, "ip", "addr", "show", "eth0")
    assert "169.254.9.9/16" in shown
    assert "fe80::9/64" in shown
    read = namespaces.in_network(
        one.netns.path, lambda: Path("/proc/sys/net/ipv6/conf/eth0/hop_limit").read_text().strip()
    )
    assert read == "33"
    server = serve(one.netns, "169.254.9.9", 7000)
    assert ask("169.254.9.9", 7000, two.netns) == b"hello 169.254.9.8"
    stop(server)
    with pytest.raises(ValidationError, match="is not of"):
        Endpoint(network="a", link_local_ips=["10.0.0.1"])
    with pytest.raises(ValidationError, match="is not of a link"):
        Endpoint(network="a", sysctls={"net.ipv4.ip_forward": "1"})
    refused = Container(name="c", image="i", networks=[Endpoint(network="four", link_local_ips=["fe80::9"])])
    with pytest.raises(ConflictError, match="fe80::9 is IPv6, which network four has not"):
        networks.check_all([], [refused])


def test_a_bridge_has_its_declared_name_and_the_links_its_mtu(networks):
    name = f"{networks.settings.interface_prefix}-mine"
    networks.create(Network(name="a", bridge_name=name, mtu=1400), "p")
    assert networks.observe("p", [])[0].handle == name
    place = networks.attach(container(), [Endpoint(network="a")], [])
    assert "mtu 1400" in within(place.netns, "ip", "link", "show", "eth0")
    assert Path(f"/sys/class/net/{place.places[0].host_name}/mtu").read_text().strip() == "1400"
    with pytest.raises(ConflictError, match=f"bridge {name} is a link of the host"):
        networks.check(Network(name="b", bridge_name=name))
    networks.check(Network(name="a", bridge_name=name, mtu=1400))


def test_without_icc_containers_of_a_bridge_do_not_reach_each_other(networks):
    networks.create(Network(name="a", icc=False), "p")
    box, port = container(), free_port()
    one = networks.attach(box, [Endpoint(network="a")], [Port(target=7000, published=port)])
    two = networks.attach(container(), [Endpoint(network="a")], [])
    server = serve(one.netns, one.addresses["a"], 7000)
    assert ask(one.addresses["a"], 7000).startswith(b"hello")
    with pytest.raises(OSError, match=r"timed out|unreachable|No route"):
        ask(one.addresses["a"], 7000, two.netns)
    assert ask("127.0.0.1", port).startswith(b"hello")
    assert networks.observe("p", [])[0].defects == {}
    # A link that somebody puts back by hand is mended with its isolation.
    networks.heal_endpoints(box, one.netns)
    with pytest.raises(OSError, match=r"timed out|unreachable|No route"):
        ask(one.addresses["a"], 7000, two.netns)
    stop(server)


def test_without_masquerade_the_world_sees_the_containers_own_address(networks, outside):
    networks.create(Network(name="a", masquerade=False), "p")
    networks.create(Network(name="b"), "p")
    own = networks.attach(container(), [Endpoint(network="a")], [])
    hidden = networks.attach(container(), [Endpoint(network="b")], [])
    server = serve(outside, "198.51.100.2", 7000)
    assert ask("198.51.100.2", 7000, own.netns) == b"hello " + str(own.addresses["a"]).encode()
    assert ask("198.51.100.2", 7000, hidden.netns) == b"hello 198.51.100.1"
    assert {item.defects == {} for item in networks.observe("p", [])} == {True}
    stop(server)
