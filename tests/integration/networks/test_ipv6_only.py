"""Networks without IPv4: addresses, names, ports with real traffic, drift, and what is refused in the plan."""

import json
import os
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from bayplan.errors import ConflictError
from bayplan.models import Container, Endpoint, Network, Port
from bayplan.runtime.native.networks import published
from bayplan.system import namespaces, nftables
from integration.core.conftest import project
from integration.networks.test_ipv6 import by_ipv6, run, serve6
from integration.networks.test_networks import ask, container, free_port, networks, stop
from integration.networks.test_published_ports import outside

__all__ = ["networks", "outside", "project"]
pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not Path("/proc/sys/net/ipv6").exists(), reason="the kernel has no IPv6"),
]
ONLY = Network(name="only", enable_ipv4=False, enable_ipv6=True)


def address_of(networks, box):
    """Its one address."""
    found = networks.addresses()[box]
    assert found["addresses"] == found["addresses_v6"]
    return IPv6Address(found["addresses"]["only"])


def test_links_have_no_ipv4_and_peers_talk(networks):
    networks.create(ONLY, "p")
    found = networks.observe("p", [])[0]
    assert set(found.status.addresses) == {"ipv6_subnet", "ipv6_gateway"}
    assert found.defects == {}
    one, two = container(), container()
    place = networks.attach(one, [Endpoint(network="only")], [])
    other = networks.attach(two, [Endpoint(network="only")], [])
    four = namespaces.in_network(place.netns.path, lambda: run("ip", "-4", "-o", "addr"))
    assert "eth0" not in four
    assert "inet " not in run("ip", "-4", "-o", "addr", "show", found.handle)
    server = serve6(place.netns, address_of(networks, one), 7000)
    assert ask(address_of(networks, one), 7000, other.netns) == b"six " + str(address_of(networks, two)).encode()
    assert [str(way.gateway) for way in place.ways] == [found.status.addresses["ipv6_gateway"]]
    assert place.places[0].mac != other.places[0].mac
    stop(server)
    shown = networks.database.query("SELECT subnet, gateway FROM networks")[0]
    assert tuple(shown) == ("", "")


def test_ports_are_open_on_ipv6_alone(networks, outside):
    networks.create(ONLY, "p")
    box, port = container(), free_port()
    place = networks.attach(box, [Endpoint(network="only")], [Port(target=7000, published=port)])
    assert {item.host_ip for item in networks.published_of(box)} == {"::"}
    by_ipv6(f"{networks.settings.interface_prefix}out", outside)
    server = serve6(place.netns, "::", 7000)
    gateway = networks.observe("p", [])[0].status.addresses["ipv6_gateway"]
    assert ask(gateway, port).startswith(b"six ")
    assert ask("fd99::1", port, outside) == b"six fd99::2"
    with pytest.raises(OSError, match="refused"):
        ask("127.0.0.1", port)
    way = serve6(outside, "fd99::2", 7001)
    assert ask("fd99::2", 7001, place.netns) == b"six fd99::1"  # masqueraded
    stop(server)
    stop(way)


def test_drift_is_seen_and_mended(networks):
    networks.create(ONLY, "p")
    box, port = container(), free_port()
    place = networks.attach(box, [Endpoint(network="only")], [Port(target=7000, published=port)])
    found = networks.observe("p", [])[0]
    where, table = found.status.addresses, f"inet {networks.settings.nft_table}"
    run("ip", "-6", "addr", "del", f"{where['ipv6_gateway']}/64", "dev", found.handle)
    nftables.run(f"delete element {table} resolvers6 {{ {found.handle} . {where['ipv6_gateway']} }}")
    nftables.run(f"flush map {table} ports_any6")
    run("ip", "link", "del", place.places[0].host_name)
    # Nor does the name server answer, which has the address that is gone.
    assert set(networks.observe("p", [])[0].defects) >= {
        f"bridge {found.handle} lost its address {where['ipv6_gateway']}",
        "its firewall rules are missing",
    }
    assert set(networks.endpoint_defects(box, networks.kernel())) == {
        "its link to network only is gone",
        f"port {port}/tcp is not open on ::",
    }
    networks.heal("only")
    networks.heal_endpoints(box, place.netns)
    assert networks.observe("p", [])[0].defects == {}
    assert networks.endpoint_defects(box, networks.kernel()) == {}


def test_an_address_stays_over_a_replacement(networks):
    networks.create(ONLY, "p")

    def attached(box, name):
        with networks.database.transaction() as tx:
            tx.execute(
                "INSERT INTO containers (id, name, project, service, declared, image_digest, phase, created_at)"
                " VALUES (?, ?, 'p', '', '{}', '', 'created', '')",
                (box, name),
            )
        networks.attach(box, [Endpoint(network="only")], [])
        return address_of(networks, box)

    def gone(box):
        networks.detach(box)
        with networks.database.transaction() as tx:
            tx.execute("DELETE FROM containers WHERE id = ?", (box,))

    boxes = [container() for _ in range(4)]
    first, second = attached(boxes[0], "first"), attached(boxes[1], "second")
    assert (int(first) & 0xFF, int(second) & 0xFF) == (2, 3)
    gone(boxes[0])
    assert int(attached(boxes[2], "third")) & 0xFF == 4  # what the first had is spared
    assert attached(boxes[3], "first") == first
    for box in boxes[1:]:
        gone(box)


def test_what_needs_ipv4_is_refused_in_the_plan(networks):
    asked = Container(name="c", image="x", networks=[Endpoint(network="only", ipv4_address="10.1.2.3")])
    with pytest.raises(ConflictError, match=r"10\.1\.2\.3 is IPv4, which network only has not"):
        networks.check_all([ONLY], [asked])
    port = Port(target=80, published=free_port(), host_ip="127.0.0.1")
    bound = Container(name="c", image="x", networks=[Endpoint(network="only")], ports=[port])
    with pytest.raises(ConflictError, match="is IPv4, and no network of the container that is not internal has IPv4"):
        published.check([bound], networks.database, (), frozenset, networks.families([ONLY]))
    six = Port(target=80, published=free_port(), host_ip="::")
    both = bound.model_copy(update={"ports": (six,)})
    published.check([both], networks.database, (), frozenset, networks.families([ONLY]))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"enable_ipv6": False}, "has IPv4 or IPv6"),
        ({"enable_ipv6": True, "subnet": "10.1.0.0/24"}, "10.1.0.0/24 is IPv4, which is off"),
        ({"enable_ipv6": True, "aux_addresses": {"a": "10.1.0.9"}}, "has none"),
    ],
)
def test_a_declaration_that_contradicts_itself(fields, says):
    with pytest.raises(ValueError, match=says):
        Network(name="n", enable_ipv4=False, **fields)


COMPOSE = """\
name: only
services:
  web: {image: lab/busybox, command: [sleep, "600"], stop_signal: SIGKILL, networks: {net: {ipv6_address: "fd57:9::9"}}}
  db:
    image: lab/busybox
    command: [sleep, "600"]
    stop_signal: SIGKILL
    networks: [net]
    extra_hosts: ["host:host-gateway"]
networks:
  net:
    enable_ipv4: false
    enable_ipv6: true
    ipam: {config: [{subnet: "fd57:9::/64"}]}
"""


@pytest.mark.skipif(not Path("/usr/lib/podman/aardvark-dns").exists(), reason="needs aardvark-dns")
def test_a_stack_and_its_names(project):
    project.file.write_text(COMPOSE)
    project("apply")
    assert json.loads(project("plan", "--json"))["steps"] == []
    hosts = project("exec", "-T", "db", "cat", "/etc/hosts")
    assert "fd57:9::9\tweb only-web-1" in hosts
    assert "fd57:9::1\thost" in hosts
    assert "nameserver fd57:9::1" in project("exec", "-T", "db", "cat", "/etc/resolv.conf")
    said = project("exec", "-T", "db", "/bin/busybox", "nslookup", "-type=aaaa", "web")
    assert "Address: fd57:9::9" in said
    none = project("exec", "-T", "db", "/bin/busybox", "nslookup", "-type=a", "web")
    assert "Address: fd57" not in none
    shown = {item["name"]: item for item in json.loads(project("status", "--json"))}
    assert shown["only-web-1"]["addresses_v6"] == {"only_net": "fd57:9::9"}
    place = json.loads(project("inspect", "web"))[0]["NetworkSettings"]["Networks"]["only_net"]
    assert (place["IPAddress"], place["IPPrefixLen"], place["Gateway"]) == ("", 0, "")
    assert (place["GlobalIPv6Address"], place["IPv6Gateway"]) == ("fd57:9::9", "fd57:9::1")
    project("network", "disconnect", "only_net", "only-db-1")
    project("network", "connect", "--ip6", "fd57:9::77", "only_net", "only-db-1")
    assert "fd57:9::77" in project("exec", "-T", "web", "cat", "/etc/hosts")
    project("network", "disconnect", "only_net", "only-db-1")
    refused = project("network", "connect", "--ip", "10.1.2.3", "only_net", "only-db-1", ok=False)
    assert "10.1.2.3 is IPv4, which network only_net has not" in refused
    project("apply")
    assert json.loads(project("plan", "--json"))["steps"] == []
    project.file.write_text(COMPOSE.replace("    enable_ipv4: false\n", ""))
    (step,) = [item for item in json.loads(project("plan", "--json"))["steps"] if item["resource"]["kind"] == "network"]
    assert (step["action"], [item["path"] for item in step["fields"]]) == ("re-create", ["enable_ipv4"])
    project("apply")
    assert json.loads(project("plan", "--json"))["steps"] == []
    project.file.write_text(COMPOSE)
    project("apply")
    assert json.loads(project("plan", "--json"))["steps"] == []
