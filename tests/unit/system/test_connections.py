"""Whose a connection over loopback is: asked of the kernel, on its own sockets."""

import os
import signal
import socket

import pytest

from bayplan.system import connections


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


@pytest.fixture(params=["asked", "listed"])
def owner(request, monkeypatch):
    """By one of the two ways alone."""
    other = {"asked": "_listed", "listed": "_asked"}[request.param]
    monkeypatch.setattr(connections, other, lambda *_: None)
    return connections.owner


def _connected(server, family, address):
    client = socket.socket(family)
    client.connect((address, server.getsockname()[1]))
    return client


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::ffff:127.0.0.1")], ids=["four", "both"]
)
def test_an_open_connection_is_its_users_and_a_closed_one_nobodys(server, owner, family, address):
    target = server.getsockname()[1]
    with _connected(server, family, address) as client:
        source = client.getsockname()[1]
        taken, _ = server.accept()
        assert owner(source, target) == os.geteuid()
        assert owner(source, target ^ 1) is None
    with taken:
        assert owner(source, target) is None  # the kernel keeps a row of it, as root's


def test_a_listener_is_no_connection(server, owner):
    assert owner(server.getsockname()[1], 1) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_another_users_connection_is_told_from_ours(server, owner):
    into, out = os.pipe()
    stranger = os.fork()
    if stranger == 0:
        try:
            os.setuid(65534)
            client = _connected(server, socket.AF_INET, "127.0.0.1")
            os.write(out, str(client.getsockname()[1]).encode())
            signal.pause()
        finally:
            os._exit(1)
    try:
        assert owner(int(os.read(into, 16)), server.getsockname()[1]) == 65534
    finally:
        os.kill(stranger, 9)
        os.waitpid(stranger, 0)
        os.close(into)
        os.close(out)
