"""SCTP through a published port, with real associations. The kernel must have it (`./run vm` has)."""

import os
import socket
import threading

import pytest

from bayplan.models import Endpoint, Network, Port
from bayplan.system import namespaces, sockets
from integration.networks.test_networks import container, free_port, networks
from integration.networks.test_published_ports import outside

__all__ = ["networks", "outside"]
pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not sockets.supports("sctp"), reason="the kernel has no SCTP"),
]
SCTP = 132  # in.h; one-to-one style sockets (RFC 6458, section 4)


def made(family=socket.AF_INET):
    return socket.socket(family, socket.SOCK_STREAM, SCTP)


def ask(address, port, netns=None):
    def body():
        with made() as peer:
            peer.settimeout(3)
            peer.connect((str(address), port))
            return peer.recv(100)

    return namespaces.in_network(netns.path, body) if netns else body()


def test_an_association_passes_a_published_port(networks, outside):
    networks.create(Network(name="a"), "p")
    networks.create(Network(name="b"), "p")
    box, port = container(), free_port()
    asked = Port(target=7000, published=port, protocol="sctp")
    one = networks.attach(box, [Endpoint(network="a")], [asked])
    far = networks.attach(container(), [Endpoint(network="b")], [])

    def listen():
        opened = made()
        opened.bind((str(one.addresses["a"]), 7000))
        opened.listen()
        return opened

    listener = namespaces.in_network(one.netns.path, listen)

    ending = threading.Event()
    listener.settimeout(0.1)

    def serve():
        with listener:
            while not ending.is_set():
                try:
                    peer, source = listener.accept()
                except TimeoutError:
                    continue
                with peer:
                    peer.sendall(b"sctp " + source[0].encode())

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    assert ask(one.addresses["a"], 7000).startswith(b"sctp")
    assert ask("198.51.100.1", port, outside) == b"sctp 198.51.100.2"
    assert ask("127.0.0.1", port).startswith(b"sctp")
    gateway = next(item for item in networks.observe("p", []) if item.actual.name == "a").status.addresses["gateway"]
    assert ask(gateway, port, far.netns).startswith(b"sctp")
    with pytest.raises(OSError, match=r"timed out|refused|unreachable|No route"):
        ask(one.addresses["a"], 7000, outside)
    with pytest.raises(OSError, match=r"timed out|refused|unreachable|No route"):
        ask(one.addresses["a"], 7000, far.netns)
    networks.set_ports(box, [])
    with pytest.raises(OSError, match=r"timed out|refused|unreachable|No route"):
        ask("198.51.100.1", port, outside)
    ending.set()
    server.join()
