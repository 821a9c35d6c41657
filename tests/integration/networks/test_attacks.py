"""Attack row "Network": a container that lies about who it is, with frames made by hand, as NET_RAW lets it.

Each attack is also tried on a network with ``bayplan.source_check: "false"``, where it works: what stops it is the
rules, no mistake of the test.
"""

import contextlib
import os
import socket
import struct
import subprocess
import threading
import time
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from bayplan.models import Endpoint, Network
from bayplan.runtime.native.networks.inside import addresses_v6
from bayplan.system import namespaces, nftables
from bayplan.system.namespaces import NetworkNamespace
from contract.hosts import eventually
from integration.networks.test_networks import container, networks

__all__ = ["networks"]
pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
ARP, IPV4, IPV6, VLAN = 0x0806, 0x0800, 0x86DD, 0x8100
BROADCAST = "ff:ff:ff:ff:ff:ff"
SENT = "what its links may send is not recorded in the kernel"
MARK = b"forged by a container"


def packed(mac):
    return bytes.fromhex(mac.replace(":", ""))


def send(netns, frame, link="eth0"):
    """Frames as they are, from inside."""

    def body():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind((link, 0))
            raw.send(frame)

    namespaces.in_network(netns.path, body)


def ethernet(source, target, kind, content):
    return packed(target) + packed(source) + struct.pack(">H", kind) + content


def arp_reply(mac, address, target_mac, target):
    content = struct.pack(">HHBBH", 1, IPV4, 6, 4, 2) + packed(mac) + address.packed
    return ethernet(mac, target_mac, ARP, content + packed(target_mac) + target.packed)


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def datagram(source, target, port):
    """An IPv4 packet of UDP without a checksum of its own (RFC 768 lets it be zero)."""
    body = struct.pack(">HHHH", 4000, port, 8 + len(MARK), 0) + MARK
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, 17, 0) + source.packed + target.packed
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


def icmp6(source, target, content):
    pseudo = source.packed + target.packed + struct.pack(">II", len(content), 58)
    padded = pseudo + content + b"\0" * (len(content) % 2)
    content = content[:2] + struct.pack(">H", checksum(padded)) + content[4:]
    return struct.pack(">IHBB", 6 << 28, len(content), 58, 255) + source.packed + target.packed + content


def neighbour(netns, address):
    """The MAC that the kernel has for an address, empty for none."""

    def body():
        lines = Path("/proc/thread-self/net/arp").read_text().splitlines()[1:]
        return next((line.split()[3] for line in lines if line.split()[0] == str(address)), "")

    return namespaces.in_network(netns.path, body)


@contextlib.contextmanager
def listening(netns, port, family=socket.AF_INET):
    def body():
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.bind(("", port))
        made.settimeout(2.0)  # a busy host takes its time
        return made

    with namespaces.in_network(netns.path, body) as made:
        yield made


def heard(made):
    try:
        return made.recv(100)
    except TimeoutError:
        return b""


def talk(netns, target, port=4001):
    with namespaces.in_network(netns.path, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asker:
        asker.sendto(b"hello", (str(target), port))


class Three:
    """A victim, its peer and an attacker on one network."""

    def __init__(self, networks, *, free, **declared):
        networks.create(Network(name="n", source_check=not free, **declared), "p")
        self.ids = [container() for _ in range(3)]
        made = [networks.attach(one, [Endpoint(network="n")], []) for one in self.ids]
        self.victim, self.peer, self.attacker = (one.netns for one in made)
        self.places = [one.places[0] for one in made]
        self.gateway = made[0].gateway


@pytest.fixture(params=[False, True], ids=["checked", "free"])
def free(request):
    return request.param


def test_an_answer_for_anothers_address_is_not_heard(networks, free):
    """Attack row Network: ARP spoofing."""
    three = Three(networks, free=free)
    victim, peer, attacker = three.places
    with listening(three.peer, 4001) as there:
        talk(three.victim, peer.address)
        assert heard(there) == b"hello"
    assert neighbour(three.victim, peer.address) == peer.mac
    time.sleep(1.1)  # the kernel holds to what it has just learnt (locktime, arp(7))
    for stolen in (peer.address, three.gateway):
        send(three.attacker, arp_reply(attacker.mac, stolen, victim.mac, victim.address))
    # With the sender's MAC in the frame right and the one within wrong, and the other way about.
    send(three.attacker, arp_reply(peer.mac, attacker.address, victim.mac, victim.address))
    time.sleep(0.2)
    assert neighbour(three.victim, peer.address) == (attacker.mac if free else peer.mac)
    assert neighbour(three.victim, three.gateway) in ("", attacker.mac if free else "")


def test_a_frame_under_anothers_mac_does_not_draw_its_traffic(networks, free):
    """Attack row Network: MAC spoofing. The bridge would learn that the peer is where the attacker is."""
    three = Three(networks, free=free)
    _, peer, attacker = three.places
    with listening(three.peer, 4001) as there:
        talk(three.victim, peer.address)
        assert heard(there) == b"hello"
        send(three.attacker, arp_reply(peer.mac, attacker.address, BROADCAST, attacker.address))
        send(three.attacker, ethernet(peer.mac, BROADCAST, 0x88B5, b"learn me" + bytes(60)))
        talk(three.victim, peer.address)
        assert heard(there) == (b"" if free else b"hello")


def test_a_packet_under_anothers_address_does_not_arrive(networks, free):
    """Attack row Network: IP spoofing, also hidden behind a VLAN tag."""
    three = Three(networks, free=free)
    victim, peer, attacker = three.places
    with listening(three.victim, 4002) as there:
        packet = datagram(peer.address, victim.address, 4002)
        send(three.attacker, ethernet(attacker.mac, victim.mac, IPV4, packet))
        assert heard(there) == (MARK if free else b"")
        own = datagram(attacker.address, victim.address, 4002)
        send(three.attacker, ethernet(attacker.mac, victim.mac, IPV4, own))
        assert heard(there) == MARK
    # To the world, where answers would go to somebody else.
    gateway = networks.observe("p", [])[0].status.addresses["gateway"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
        host.bind((gateway, 0))
        host.settimeout(0.5)
        bridge_mac = Path(f"/sys/class/net/{victim.bridge}/address").read_text().strip()
        forged = datagram(peer.address, three.gateway, host.getsockname()[1])
        send(three.attacker, ethernet(attacker.mac, bridge_mac, IPV4, forged))
        assert heard(host) == (MARK if free else b"")


@pytest.mark.skipif(not Path("/proc/sys/net/ipv6").exists(), reason="the kernel has no IPv6")
def test_neighbour_and_router_advertisements_are_not_heeded(networks, free):
    """Attack row Network: accept_ra=0 on both ends (CVE-2020-13401), and the ARP of IPv6.

    Without the rules advertisements of a router do arrive, and nobody heeds them.
    """
    three = Three(networks, free=free, enable_ipv6=True)
    victim, peer, attacker = three.places
    talk6(three.victim, peer.address6)
    assert eventually(lambda: six_neighbour(three.victim, peer.address6) == peer.mac)
    override = struct.pack(">BBHI", 136, 0, 0, 0x20000000) + peer.address6.packed
    advert = icmp6(attacker.address6, victim.address6, override + b"\2\1" + packed(attacker.mac))
    send(three.attacker, ethernet(attacker.mac, victim.mac, IPV6, advert))
    time.sleep(0.2)
    assert six_neighbour(three.victim, peer.address6) == (attacker.mac if free else peer.mac)
    prefix = struct.pack(">BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + IPv6Address("fd66:6::").packed
    router = struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + b"\1\1" + packed(attacker.mac) + prefix
    everybody, local = IPv6Address("ff02::1"), link_local(attacker.mac)
    send(three.attacker, ethernet(attacker.mac, "33:33:00:00:00:01", IPV6, icmp6(local, everybody, router)))
    time.sleep(0.3)
    for seen in (namespaces.in_network(three.victim.path, lambda: addresses_v6("eth0")), addresses_v6(victim.bridge)):
        assert not [one for one in seen if one.startswith("fd66")]
    for text in (namespaces.in_network(three.victim.path, routes6), routes6()):
        assert "fd660006" not in text
        assert local.packed.hex() not in text


def routes6():
    return Path("/proc/thread-self/net/ipv6_route").read_text()


def link_local(mac):
    raw = packed(mac)
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes([raw[0] ^ 2]) + raw[1:3] + b"\xff\xfe" + raw[3:])


def talk6(netns, target):
    def body():
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asker:
            asker.sendto(b"hello", (str(target), 4001))
            time.sleep(0.2)

    namespaces.in_network(netns.path, body)


def six_neighbour(netns, address):
    argv = ["nsenter", f"--net={netns.path}", "ip", "-6", "neigh", "show", "to", str(address)]
    words = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else ""


def test_without_ipv6_no_ipv6_passes_between_containers(networks, free):
    """Attack row Network: IPv6 off unless asked for."""
    three = Three(networks, free=free)
    victim, _, attacker = three.places
    with namespaces.in_network(three.victim.path, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)) as raw:
        namespaces.in_network(three.victim.path, lambda: raw.bind(("eth0", IPV6)))
        raw.settimeout(0.5)
        packet = icmp6(link_local(attacker.mac), link_local(victim.mac), struct.pack(">BBHI", 128, 0, 0, 0))
        send(three.attacker, ethernet(attacker.mac, victim.mac, IPV6, packet))
        frames = list(iter(lambda: heard(raw), b""))
        assert any(frame[6:12] == packed(attacker.mac) for frame in frames) is free


@pytest.mark.skipif(not Path("/proc/sys/net/ipv6").exists(), reason="the kernel has no IPv6")
def test_an_address_that_begins_with_zeros_is_known_again(networks):
    """nft shows a number without the zeros before it."""
    networks.create(Network(name="n", enable_ipv6=True, ipv6_subnet="64:ff9b:1::/64"), "p")
    box = container()
    place = networks.attach(box, [Endpoint(network="n")], [])
    assert networks.endpoint_defects(box, networks.kernel()) == {}
    place.netns.close()


def test_a_link_answers_by_all_addresses_of_its_container(networks):
    """The kernel may ask for a neighbour under the address of another of its links (arp_announce, ip-sysctl)."""
    for name in ("a", "b"):
        networks.create(Network(name=name), "p")
    box = networks.attach(container(), [Endpoint(network="a"), Endpoint(network="b")], [])
    peer = networks.attach(container(), [Endpoint(network="b")], [])
    with listening(peer.netns, 4001) as there:

        def body():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
                asker.bind((str(box.addresses["a"]), 0))
                asker.sendto(b"by the other", (str(peer.addresses["b"]), 4001))

        namespaces.in_network(box.netns.path, body)
        assert heard(there) == b"by the other"


def test_a_flushed_table_is_made_anew_by_the_next_start(networks):
    """A restart by the supervisor must not fail for it, and those that run must not be cut off."""
    networks.create(Network(name="n"), "p")
    first = networks.attach(container(), [Endpoint(network="n")], [])
    nftables.run(f"delete table bridge {networks.settings.nft_table}")
    second = networks.attach(container(), [Endpoint(network="n")], [])
    with listening(first.netns, 4001) as there:
        talk(second.netns, first.addresses["n"])
        assert heard(there) == b"hello"
    assert networks.kernel().guarded.whole


def test_what_is_admitted_while_all_is_written_is_not_lost(networks):
    """Networks are made while containers start; each writes the whole table."""
    networks.create(Network(name="n"), "p")
    boxes = [container() for _ in range(12)]
    makers = [threading.Thread(target=networks.create, args=(Network(name=f"m{number}"), "p")) for number in range(6)]
    starts = [threading.Thread(target=networks.attach, args=(box, [Endpoint(network="n")], [])) for box in boxes]
    every = [one for pair in zip(starts[::2], makers, starts[1::2], strict=True) for one in pair]
    for thread in every:
        thread.start()
    for thread in every:
        thread.join()
    kernel = networks.kernel()
    assert {box: networks.endpoint_defects(box, kernel).get(SENT) for box in boxes} == dict.fromkeys(boxes)


def test_links_of_others_are_left_alone(networks):
    """Even one whose name begins like ours, on a bridge of somebody else."""
    networks.create(Network(name="n"), "p")
    networks.attach(container(), [Endpoint(network="n")], [])
    prefix = networks.settings.interface_prefix
    bridge, link, netns = f"{prefix}-their", f"{prefix}0123456789", NetworkNamespace.create()
    for argv in (
        ("link", "add", bridge, "type", "bridge"),
        ("addr", "add", "198.51.100.1/24", "dev", bridge),
        ("link", "set", bridge, "up"),
        ("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(netns.path)),
        ("link", "set", link, "master", bridge, "up"),
    ):
        subprocess.run(["ip", *argv], check=True)
    within = ["nsenter", f"--net={netns.path}", "ip"]
    subprocess.run([*within, "addr", "add", "198.51.100.2/24", "dev", "eth0"], check=True)
    subprocess.run([*within, "link", "set", "eth0", "up"], check=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("198.51.100.1", 0))
        there.settimeout(2)
        talk(netns, "198.51.100.1", there.getsockname()[1])
        assert heard(there) == b"hello"
    subprocess.run(["ip", "link", "del", bridge], check=True)
    subprocess.run(["ip", "link", "del", link], check=True)
    netns.close()


def test_lost_elements_and_rules_are_drift_and_come_back(networks):
    networks.create(Network(name="n"), "p")
    box = container()
    place = networks.attach(box, [Endpoint(network="n")], [])
    table = f"bridge {networks.settings.nft_table}"
    nftables.run(f"flush set {table} macs")
    assert networks.endpoint_defects(box, networks.kernel()) == {SENT: "in-place"}
    networks.heal_endpoints(box, place.netns)
    assert networks.endpoint_defects(box, networks.kernel()) == {}
    nftables.run(f"delete table {table}")
    assert networks.observe("p", [])[0].defects == {"its firewall rules are missing": "in-place"}
    networks.heal("n")
    assert networks.observe("p", [])[0].defects == {}
    assert networks.endpoint_defects(box, networks.kernel()) == {}
    networks.detach(box)
    networks.settle()
    assert not any(networks.guard.holds().sets.values())
