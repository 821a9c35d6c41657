"""IPv6 beside IPv4: addresses, names, ports and isolation with real traffic, drift, and no IPv6 unless asked for."""

import json
import os
import socket
import subprocess
import threading
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

from bayplan.errors import ConflictError, UnsupportedError
from bayplan.models import Container, Endpoint, Network, Port
from bayplan.runtime.native.networks import published
from bayplan.runtime.native.networks.held import loopback_v6_works
from bayplan.runtime.native.networks.inside import addresses_v6
from bayplan.system import namespaces, nftables
from bayplan.system.processes import Process, boot_id
from integration.core.conftest import project
from integration.networks.test_networks import ask, container, free_port, networks, stop
from integration.networks.test_published_ports import outside

__all__ = ["networks", "outside", "project"]
pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not Path("/proc/sys/net/ipv6").exists(), reason="the kernel has no IPv6"),
]
SIX = Network(name="six", enable_ipv6=True)


def run(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=20).stdout


def serve6(netns, address, port):
    """A server in a namespace that answers with the address it sees."""
    made = namespaces.in_network(netns.path, lambda: socket.create_server((str(address), port), family=socket.AF_INET6))

    def body():
        while True:
            try:
                peer, source = made.accept()
            except OSError:
                return
            with peer:
                peer.sendall(b"six " + source[0].encode())

    threading.Thread(target=body, daemon=True).start()
    return made


def by_ipv6(name, outside):
    """Addresses for the link to the host outside, usable at once."""
    for address in ("fd99::1/64", "fe80::1/64"):
        run("ip", "-6", "addr", "add", address, "dev", name, "nodad")
    run("nsenter", f"--net={outside.path}", "ip", "-6", "addr", "add", "fd99::2/64", "dev", f"{name}p", "nodad")


def six_of(networks, box):
    return IPv6Address(networks.addresses()[box]["addresses_v6"]["six"])


def setting(netns, link, name):
    path = Path(f"/proc/sys/net/ipv6/conf/{link}/{name}")
    return namespaces.in_network(netns.path, path.read_text).strip()


def test_a_network_has_ipv6_only_when_asked(networks):
    """Attack row Network: IPv6 off unless asked; accept_ra=0 on both ends (CVE-2020-13401)."""
    networks.create(SIX, "p")
    networks.create(Network(name="four"), "p")
    box = container()
    place = networks.attach(box, [Endpoint(network="four"), Endpoint(network="six")], [])
    range6 = IPv6Network(networks.observe("p", ["six"])[1].status.addresses["ipv6_subnet"])
    assert range6.prefixlen == 64
    assert range6.is_private
    assert six_of(networks, box) in range6
    assert [setting(place.netns, link, "disable_ipv6") for link in ("eth0", "eth1")] == ["1", "0"]
    assert setting(place.netns, "eth1", "accept_ra") == "0"
    bridges = {item.actual.name: item.handle for item in networks.observe("p", [])}
    conf = Path("/proc/sys/net/ipv6/conf")
    assert (conf / bridges["four"] / "disable_ipv6").read_text().strip() == "1"
    assert (conf / bridges["six"] / "accept_ra").read_text().strip() == "0"
    assert (conf / place.places[1].host_name / "accept_ra").read_text().strip() == "0"
    inside = namespaces.in_network(place.netns.path, lambda: addresses_v6("eth1"))
    assert str(six_of(networks, box)) in inside
    assert namespaces.in_network(place.netns.path, lambda: addresses_v6("eth0")) == set()


def test_neighbours_talk_by_ipv6_and_other_networks_do_not(networks):
    networks.create(SIX, "p")
    networks.create(Network(name="far", enable_ipv6=True), "p")
    networks.create(Network(name="inner", enable_ipv6=True, internal=True), "p")
    one = container()
    place = networks.attach(one, [Endpoint(network="six")], [])
    two = networks.attach(container(), [Endpoint(network="six")], [])
    far = networks.attach(container(), [Endpoint(network="far")], [])
    inner = networks.attach(container(), [Endpoint(network="inner")], [])
    server = serve6(place.netns, six_of(networks, one), 7000)
    assert ask(six_of(networks, one), 7000, two.netns) == b"six " + str(two.places[0].address6).encode()
    with pytest.raises(OSError, match=r"timed out|unreachable"):
        ask(six_of(networks, one), 7000, far.netns)
    with pytest.raises(OSError, match=r"timed out|unreachable"):
        ask(six_of(networks, one), 7000, inner.netns)
    stop(server)


def test_addresses_are_given_once_and_kept(networks):
    declared = Network(
        name="six",
        enable_ipv6=True,
        ipv6_subnet="fd57:1:2:3::/125",
        ipv6_gateway="fd57:1:2:3::7",
        aux_addresses={"router": "fd57:1:2:3::1"},
    )
    networks.create(declared, "p")
    fixed = container()
    networks.attach(fixed, [Endpoint(network="six", ipv6_address="fd57:1:2:3::3")], [])
    assert str(six_of(networks, fixed)) == "fd57:1:2:3::3"
    others = [container() for _ in range(4)]
    for box in others:
        networks.attach(box, [Endpoint(network="six")], [])
    given = [str(six_of(networks, box)) for box in others]
    assert sorted(given) == [f"fd57:1:2:3::{number}" for number in (2, 4, 5, 6)]
    networks.attach(others[1], [Endpoint(network="six")], [])
    assert str(six_of(networks, others[1])) == given[1]
    with pytest.raises(ConflictError, match="network six has no free address left"):
        networks.attach(container(), [Endpoint(network="six")], [])
    with pytest.raises(ConflictError, match="fd57:1:2:3::3 of network six is held"):
        networks.attach(container(), [Endpoint(network="six", ipv6_address="fd57:1:2:3::3")], [])


REFUSED = {
    "fd57:1:2:4::9": "is not in fd57:1:2:3::/64",
    "fd57:1:2:3::1": "is the gateway's, an edge or in aux_addresses",
}


@pytest.mark.parametrize("address", REFUSED)
def test_a_fixed_address_that_cannot_be_is_refused_in_the_plan(networks, address):
    declared = Network(name="six", enable_ipv6=True, ipv6_subnet="fd57:1:2:3::/64")
    asked = Container(name="c", image="x", networks=[Endpoint(network="six", ipv6_address=address)])
    with pytest.raises(ConflictError, match=REFUSED[address]):
        networks.check_all([declared], [asked])


def test_ipv6_addresses_where_there_is_none_are_refused_in_the_plan(networks):
    asked = Container(name="c", image="x", networks=[Endpoint(network="four", ipv6_address="fd57::2")])
    with pytest.raises(ConflictError, match="IPv6, which network four has not"):
        networks.check_all([Network(name="four")], [asked])
    bound = Container(name="c", image="x", ports=[Port(target=80, published=8080, host_ip="::1")])
    with pytest.raises(ConflictError, match="no network of the container that is not internal has IPv6"):
        published.check([bound], networks.database, (), frozenset)
    networks.create(Network(name="six", enable_ipv6=True, ipv6_subnet="fd57:1:2:3::/64"), "p")
    with pytest.raises(ConflictError, match="overlaps fd57:1:2:3::/64 of six"):
        networks.check(Network(name="other", enable_ipv6=True, ipv6_subnet="fd57:1:2::/48"))


def test_an_unbound_port_answers_on_both_families_and_strangers_get_no_more(networks, outside):
    networks.create(SIX, "p")
    box, port = container(), free_port()
    place = networks.attach(box, [Endpoint(network="six")], [Port(target=7000, published=port)])
    assert {item.host_ip for item in networks.published_of(box)} == {"0.0.0.0", "::"}
    by_ipv6(f"{networks.settings.interface_prefix}out", outside)
    within = ("nsenter", f"--net={outside.path}", "ip", "-6")
    run(*within, "route", "add", "default", "via", "fd99::1")
    server = serve6(place.netns, "::", 7000)
    gateway = networks.observe("p", [])[0].status.addresses["ipv6_gateway"]
    assert ask(gateway, port).startswith(b"six ")
    assert ask("fd99::1", port, outside) == b"six fd99::2"
    assert ask(gateway, port).startswith(b"six ")
    assert ask(gateway, port, place.netns).startswith(b"six ")
    # Routed straight to the container (CVE-2025-54388).
    with pytest.raises(OSError, match=r"timed out|unreachable"):
        ask(six_of(networks, box), 7000, outside)
    networks.set_ports(box, [Port(target=7000, published=port, host_ip="0.0.0.0")])
    with pytest.raises(OSError, match="refused"):
        ask("fd99::1", port, outside)
    stop(server)


def test_what_goes_out_has_the_hosts_address(networks, outside):
    networks.create(SIX, "p")
    place = networks.attach(container(), [Endpoint(network="six")], [])
    by_ipv6(f"{networks.settings.interface_prefix}out", outside)
    server = serve6(outside, "fd99::2", 7000)
    assert ask("fd99::2", 7000, place.netns) == b"six fd99::1"
    stop(server)


def test_a_port_on_the_loopback_address(networks):
    networks.create(SIX, "p")
    box, port = container(), free_port()
    asked = Port(target=7000, published=port, host_ip="::1")
    if not loopback_v6_works():
        bound = Container(name="c", image="x", ports=[asked], networks=[Endpoint(network="six")])
        with pytest.raises(UnsupportedError, match="bridge-nf-call-ip6tables=0"):
            published.check([bound], networks.database, (), frozenset, networks.families([]))
        # One that is not bound is left to 127.0.0.1: refused, a client goes on to that at once.
        networks.attach(box, [Endpoint(network="six")], [Port(target=7000, published=port)])
        with pytest.raises(OSError, match="refused"):
            ask("::1", port)
    path = Path("/proc/sys/net/bridge/bridge-nf-call-ip6tables")
    before = path.read_text() if path.exists() else ""
    try:
        if before:
            path.write_text("0")
            networks.heal("six")
        place = networks.attach(box, [Endpoint(network="six")], [asked])
        server = serve6(place.netns, six_of(networks, box), 7000)
        gateway = networks.observe("p", [])[0].status.addresses["ipv6_gateway"]
        assert ask("::1", port) == b"six " + gateway.encode()
        stop(server)
    finally:
        if before:
            path.write_text(before)


def test_replicas_share_a_port_by_ipv6(networks):
    networks.create(SIX, "p")
    port = free_port()
    boxes = []
    for number in (1, 2):
        box = container()
        with networks.database.transaction() as tx:
            tx.execute(
                "INSERT INTO containers (id, name, project, service, declared, image_digest, phase, created_at, wanted)"
                " VALUES (?, ?, 'p', 'web', '{}', '', 'created', '', 'running')",
                (box, f"web-{number}"),
            )
        me = Process.of(os.getpid())
        with networks.database.transaction() as tx:
            tx.execute(
                "UPDATE containers SET pid = ?, pid_start = ?, boot_id = ? WHERE id = ?",
                (me.pid, me.start, boot_id(), box),
            )
        place = networks.attach(box, [Endpoint(network="six")], [Port(target=7000, published=port, host_ip="::")])
        boxes.append((box, serve6(place.netns, six_of(networks, box), 7000), place))
    networks.join(boxes[0][0])
    assert networks.endpoint_defects(boxes[0][0], networks.kernel()) == {}
    members = {str(six_of(networks, box)) for box, _, _ in boxes}
    held = networks.firewall.holds()
    assert [{one.rpartition(" . ")[0] for one in item} for item in held.members.values()] == [members]
    gateway = networks.observe("p", [])[0].status.addresses["ipv6_gateway"]
    assert all(ask(gateway, port).startswith(b"six ") for _ in range(4))
    for _, server, _ in boxes:
        stop(server)
    with networks.database.transaction() as tx:
        tx.execute("UPDATE containers SET pid = NULL")


def test_drift_is_seen_and_mended(networks):
    networks.create(SIX, "p")
    box, port = container(), free_port()
    place = networks.attach(box, [Endpoint(network="six")], [Port(target=7000, published=port, host_ip="::")])
    found = networks.observe("p", [])[0]
    bridge, where = found.handle, found.status.addresses
    assert found.defects == {}
    table = f"inet {networks.settings.nft_table}"
    run("ip", "-6", "addr", "del", f"{where['ipv6_gateway']}/64", "dev", bridge)
    nftables.run(f"delete element {table} subnets6 {{ {where['ipv6_subnet']} }}\nflush map {table} ports_any6")
    assert set(networks.observe("p", [])[0].defects) == {
        f"bridge {bridge} lost its address {where['ipv6_gateway']}",
        "its firewall rules are missing",
    }
    assert set(networks.endpoint_defects(box, networks.kernel())) == {f"port {port}/tcp is not open on ::"}
    run("ip", "link", "del", place.places[0].host_name)
    networks.heal("six")
    networks.heal_endpoints(box, place.netns)
    assert networks.observe("p", [])[0].defects == {}
    assert networks.endpoint_defects(box, networks.kernel()) == {}
    server = serve6(place.netns, six_of(networks, box), 7000)
    assert ask(where["ipv6_gateway"], port).startswith(b"six ")
    stop(server)


COMPOSE = """\
name: six
services:
  web: {image: lab/busybox, command: [sleep, "600"], stop_signal: SIGKILL, networks: {net: {ipv6_address: "fd57:9::9"}}}
  db: {image: lab/busybox, command: [sleep, "600"], stop_signal: SIGKILL, networks: [net]}
networks:
  net:
    enable_ipv6: true
    ipam: {config: [{subnet: 10.212.9.0/24}, {subnet: "fd57:9::/64"}]}
"""


@pytest.mark.skipif(not Path("/usr/lib/podman/aardvark-dns").exists(), reason="needs aardvark-dns")
def test_names_have_both_families(project):
    project.file.write_text(COMPOSE)
    project("apply")
    assert json.loads(project("plan", "--json"))["steps"] == []
    hosts = project("exec", "-T", "db", "cat", "/etc/hosts")
    assert "fd57:9::9\tweb six-web-1" in hosts
    own = project("exec", "-T", "web", "cat", "/etc/hosts").partition("# peers")[0]
    assert "\nfd57:9::9\t" in own
    said = project("exec", "-T", "db", "/bin/busybox", "nslookup", "-type=aaaa", "web")
    assert "Address: fd57:9::9" in said
    shown = {item["name"]: item for item in json.loads(project("status", "--json"))}
    assert shown["six-web-1"]["addresses_v6"] == {"six_net": "fd57:9::9"}
    assert json.loads(project("inspect", "web"))[0]["NetworkSettings"]["Networks"]["six_net"]["GlobalIPv6Address"] == (
        "fd57:9::9"
    )
