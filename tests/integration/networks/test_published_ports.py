"""Published ports with real traffic: protocols, ranges, chosen ports, hairpin, and strangers outside."""

import contextlib
import os
import socket
import subprocess

import pytest

from bayplan.errors import ConflictError, UnsupportedError
from bayplan.models import Container, Endpoint, Network, Port
from bayplan.runtime.native.networks import published
from bayplan.system import namespaces, sockets
from bayplan.system.namespaces import NetworkNamespace
from integration.networks.test_networks import ask, container, free_port, networks, serve, stop

__all__ = ["networks"]
pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def run(*argv):
    subprocess.run(argv, check=True, capture_output=True, timeout=20)


@pytest.fixture
def outside(networks):
    """A host on another link: its namespace, and our address there."""
    netns, name = NetworkNamespace.create(), f"{networks.settings.interface_prefix}out"
    path = str(netns.path)
    run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    run("ip", "addr", "add", "198.51.100.1/24", "dev", name)
    run("ip", "link", "set", name, "up")
    run("ip", "link", "set", f"{name}p", "netns", path)
    for command in (("addr", "add", "198.51.100.2/24", "dev", f"{name}p"), ("link", "set", f"{name}p", "up")):
        run("nsenter", f"--net={path}", "ip", *command)
    run("nsenter", f"--net={path}", "ip", "route", "add", "default", "via", "198.51.100.1")
    yield netns
    run("ip", "link", "del", name)
    netns.close()


def echo_udp(netns, address, port):
    """A UDP socket in a namespace; ``answer`` sends one datagram back."""
    return namespaces.in_network(netns.path, lambda: _bound(address, port))


def _bound(address, port):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(5)
    made.bind((str(address), port))
    return made


def ask_udp(server, address, port, netns=None):
    with namespaces.in_network(netns.path, lambda: _bound("0.0.0.0", 0)) if netns else _bound("0.0.0.0", 0) as asker:
        asker.sendto(b"ping", (str(address), port))
        data, source = server.recvfrom(100)
        server.sendto(data + b" pong", source)
        return asker.recv(100)


def test_udp_answers_from_host_containers_and_itself(networks):
    networks.create(Network(name="a"), "p")
    networks.create(Network(name="b"), "p")
    port = free_port()
    one = networks.attach(container(), [Endpoint(network="a")], [Port(target=7000, published=port, protocol="udp")])
    far = networks.attach(container(), [Endpoint(network="b")], [])
    gateway = networks.observe("p", [])[0].status.addresses["gateway"]
    with echo_udp(one.netns, one.addresses["a"], 7000) as server:
        assert ask_udp(server, "127.0.0.1", port) == b"ping pong"
        assert ask_udp(server, gateway, port, far.netns) == b"ping pong"
        assert ask_udp(server, gateway, port, one.netns) == b"ping pong"


def test_a_client_that_goes_on_sending_follows_a_udp_port_that_moves(networks):
    networks.create(Network(name="a"), "p")
    port, first, second = free_port(), container(), container()
    asked = Port(target=7000, published=port, protocol="udp")
    with _bound("127.0.0.1", 0) as client:
        # Before anybody is there: this flow would go to the host itself for as long as it goes on.
        client.sendto(b"early", ("127.0.0.1", port))
        for box in (first, second):
            place = networks.attach(box, [Endpoint(network="a")], [asked])
            with echo_udp(place.netns, place.addresses["a"], 7000) as server:
                client.sendto(b"ping", ("127.0.0.1", port))
                assert server.recv(100) == b"ping"
                networks.set_ports(box, [])


def test_a_udp_port_that_many_talk_to_can_be_closed(networks):
    """A name server's port has a flow for each client."""
    networks.create(Network(name="a"), "p")
    port, box = free_port(), container()
    place = networks.attach(box, [Endpoint(network="a")], [Port(target=7000, published=port, protocol="udp")])
    with contextlib.ExitStack() as clients, echo_udp(place.netns, place.addresses["a"], 7000) as server:
        for _ in range(600):
            client = clients.enter_context(_bound("127.0.0.1", 0))
            client.sendto(b"ping", ("127.0.0.1", port))
            assert server.recv(100) == b"ping"
        networks.set_ports(box, [])


def test_a_stranger_gets_only_what_is_published_to_him(networks, outside):
    """Attack row Network: the declared address only; CVE-2025-54388, CVE-2020-8558."""
    networks.create(Network(name="a"), "p")
    first, second = free_port(), free_port()
    ports = [
        Port(target=7000, published=first),
        Port(target=7000, published=second, host_ip="127.0.0.1"),
    ]
    one = networks.attach(container(), [Endpoint(network="a")], ports)
    server = serve(one.netns, one.addresses["a"], 7000)
    assert ask("198.51.100.1", first, outside).startswith(b"hello")
    # Routed straight to the container, published or not.
    with pytest.raises(OSError, match=r"timed out|unreachable"):
        ask(one.addresses["a"], 7000, outside)
    with pytest.raises(OSError, match="refused"):
        ask("198.51.100.1", second, outside)
    # Sent to our 127.0.0.1 over the wire: a stranger can do so by taking that address off his own loopback.
    path = f"--net={outside.path}"
    run("nsenter", path, "sysctl", "-w", "net.ipv4.conf.all.route_localnet=1")
    run("nsenter", path, "ip", "route", "add", "127.0.0.1/32", "via", "198.51.100.1", "table", "100")
    run("nsenter", path, "ip", "rule", "add", "pref", "0", "to", "127.0.0.1", "lookup", "100")
    run("nsenter", path, "ip", "rule", "del", "pref", "0", "lookup", "local")
    run("nsenter", path, "ip", "rule", "add", "pref", "10", "lookup", "local")
    with pytest.raises(OSError, match=r"timed out|unreachable|refused"):
        namespaces.in_network(outside.path, lambda: _from("198.51.100.2", "127.0.0.1", second))
    assert ask("127.0.0.1", second).startswith(b"hello")
    stop(server)


def _from(source, address, port):
    with socket.create_connection((address, port), timeout=1, source_address=(source, 0)) as peer:
        return peer.recv(100)


def test_a_port_is_chosen_out_of_a_range_and_kept(networks):
    networks.create(Network(name="a"), "p")
    asked = Port(target=7000, published=39210, last=39219, host_ip="127.0.0.1")
    with socket.create_server(("127.0.0.1", 39210)):
        boxes = [container() for _ in range(2)]
        for box in boxes:
            networks.attach(box, [Endpoint(network="a")], [asked])
        given = [networks.published_of(box)[0].published for box in boxes]
        assert given == [39211, 39212]
    networks.attach(boxes[1], [Endpoint(network="a")], [asked])
    assert networks.published_of(boxes[1])[0].published == 39212
    # Gone and made anew under its name, it has the port that it had.
    networks.detach(boxes[1])
    networks.attach(boxes[1], [Endpoint(network="a")], [asked])
    assert networks.published_of(boxes[1])[0].published == 39212
    full = Port(target=7000, published=39211, last=39212, host_ip="127.0.0.1")
    with pytest.raises(ConflictError, match=r"no port of .* is free"):
        networks.attach(container(), [Endpoint(network="a")], [full])


def test_any_port_is_chosen_and_answers(networks):
    networks.create(Network(name="a"), "p")
    box = container()
    one = networks.attach(box, [Endpoint(network="a")], [Port(target=7000)])
    server = serve(one.netns, one.addresses["a"], 7000)
    assert ask("127.0.0.1", networks.published_of(box)[0].published).startswith(b"hello")
    stop(server)


def test_ports_that_cannot_be_had_are_refused_before_anything(networks):
    def check(*ports):
        asked = Container(name="c", image="x", ports=ports)
        published.check([asked], networks.database, (), frozenset)

    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        with pytest.raises(ConflictError, match=f"{port}/tcp is taken by a process of the host: .*pid {os.getpid()}"):
            check(Port(target=1, published=port))
        with pytest.raises(ConflictError, match="is free"), _taken(port + 1):
            check(Port(target=1, published=port, last=port + 1, host_ip="127.0.0.1"))
    with pytest.raises(ConflictError, match=r"has no address 203\.0\.113\.9"):
        check(Port(target=1, published=free_port(), host_ip="203.0.113.9"))
    sctp = Port(target=1, published=free_port(), protocol="sctp")
    if sockets.supports("sctp"):
        check(sctp)
    else:
        with pytest.raises(UnsupportedError, match="kernel has no sctp"):
            check(sctp)


@contextlib.contextmanager
def _taken(port):
    """Somebody listens there; ourselves, when nobody does."""
    try:
        held = socket.create_server(("127.0.0.1", port))
    except OSError:
        yield
        return
    with held:
        yield
