import os
import socket

import pytest

from bayplan.system import sockets


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("bound", ["127.9.8.7", "0.0.0.0"])
def test_a_taken_port_is_seen_with_its_holder(protocol, bound):
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as held:
        held.bind((bound, 0))
        if protocol == "tcp":
            held.listen()
        port = held.getsockname()[1]
        assert not sockets.is_free("127.9.8.7", port, protocol)
        found = sockets.listeners("127.9.8.7", port, protocol)
        assert found
        assert found <= sockets.sockets_of(os.getpid())
        assert any(f"(pid {os.getpid()})" in item for item in sockets.holders(found))
        if bound != "0.0.0.0":
            assert sockets.is_free("127.9.8.6", port, protocol)
            assert not sockets.listeners("127.9.8.6", port, protocol)
    assert sockets.is_free("127.9.8.7", port, protocol)
    assert not sockets.listeners("127.9.8.7", port, protocol)


def test_an_address_that_the_host_does_not_have_is_in_nobody_s_way():
    assert sockets.is_free("192.0.2.123", 53, "udp")


def test_a_descriptor_that_is_closed_meanwhile_hides_no_other(monkeypatch):
    followed, first = sockets.Path.readlink, []

    def readlink(path):
        if not first:
            first.append(path)
            raise FileNotFoundError(path)
        return followed(path)

    with socket.socket() as one, socket.socket() as two:
        monkeypatch.setattr(sockets.Path, "readlink", readlink)
        found = sockets.sockets_of(os.getpid())
        assert {str(os.fstat(item.fileno()).st_ino) for item in (one, two)} <= found
