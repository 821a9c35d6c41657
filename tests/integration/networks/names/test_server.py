"""The process that answers for names: killed, not there, its port taken."""

import os
import signal
import socket
from pathlib import Path

import pytest

from bayplan.errors import ConflictError
from bayplan.models import Container, Endpoint, Kind, Port, ResourceId
from bayplan.system import sockets
from resolving import opened

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not Path("/usr/lib/podman/aardvark-dns").exists(), reason="needs aardvark-dns"),
]


def test_a_killed_name_server_is_seen_and_started_again(core):
    """Fault row 26."""
    with core.change():
        core.network("n")
        core.box("one", "n")
        core.box("two", "n")
    (server,) = core.servers()
    assert core.observed(Kind.NETWORK, "n").defects == {}
    server.send(signal.SIGKILL)
    assert server.wait(5)
    assert core.observed(Kind.NETWORK, "n").defects == {"its name server is not running": "in-place"}
    assert core.address("two", "n") in core.runtime.exec("one", ["cat", "/etc/hosts"]).stdout.decode()
    core.runtime.heal(ResourceId(kind=Kind.NETWORK, name="n"))
    assert core.observed(Kind.NETWORK, "n").defects == {}
    assert core.ask("one", "two") == [core.address("two", "n")]
    # Any other change mends it as well.
    core.servers()[0].send(signal.SIGKILL)
    with core.change():
        core.box("three", "n")
    assert core.ask("one", "three") == [core.address("three", "n")]
    assert len(core.servers()) == 1


def test_a_change_cut_before_the_server_was_told_is_seen_and_mended(core):
    with core.change():
        core.network("n")
        core.box("one", "n")
    (server,) = core.servers()
    with core.runtime.database.transaction() as tx:
        tx.execute("UPDATE endpoints SET aliases = '[\"later\"]'")
    assert core.observed(Kind.NETWORK, "n").defects == {"its name server does not know its containers": "in-place"}
    with core.change():
        pass
    assert core.ask("one", "later") == [core.address("one", "n")]
    assert core.servers() == [server]


def test_the_server_holds_nothing_of_those_who_started_it():
    with opened() as core, core.change():
        core.network("n")
        core.box("one", "n")
        (server,) = core.servers()
        entry = Path(f"/proc/{server.pid}")
        held = [str(item.readlink()) for item in (entry / "fd").iterdir()]
        assert [item for item in held if not item.startswith(("socket:", "anon_inode:", "pipe:", "/dev/null"))] == []
        assert (entry / "ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()
        assert os.getsid(server.pid) != os.getsid(0)


def test_without_the_program_peers_are_in_hosts_files_and_status_says_so():
    with opened(name_server="no-such-name-server") as core:
        with core.change():
            core.network("n")
            core.box("one", "n")
            core.box("two", "n")
        seen = core.observed(Kind.NETWORK, "n")
        assert seen.defects == {}
        assert "no-such-name-server is not installed" in seen.notes[0]
        assert core.address("two", "n") in core.runtime.exec("one", ["cat", "/etc/hosts"]).stdout.decode()
        assert core.gateway("n") not in core.runtime.exec("one", ["cat", "/etc/resolv.conf"]).stdout.decode()


def test_a_taken_port_53_is_named_with_its_holder_and_stops_nothing(core):
    with core.change():
        core.network("n")
    gateway = core.gateway("n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((gateway, 53))
        with core.change():
            core.box("one", "n")
        note = core.observed(Kind.NETWORK, "n").notes[0]
        assert f"port 53/udp of {gateway} is taken by " in note
        assert f"(pid {os.getpid()})" in note
        assert core.servers() == []
        assert gateway not in core.runtime.exec("one", ["cat", "/etc/resolv.conf"]).stdout.decode()
    assert list(core.observed(Kind.NETWORK, "n").defects) == ["its name server is not running"]
    core.runtime.heal(ResourceId(kind=Kind.NETWORK, name="n"))
    assert core.ask("one", "one", gateway) == [core.address("one", "n")]


def test_a_container_that_publishes_port_53_does_not_take_the_gateway_s_place():
    if sockets.listeners("0.0.0.0", 53, "udp"):
        pytest.skip("port 53 of this host is in use")
    published = Port(target=53, published=53, protocol="udp")
    with opened() as core:
        with core.change():
            core.network("n")
            core.box("client", "n")
            dns = Container(name="dns", image="lab/busybox", networks=[Endpoint(network="n")], ports=[published])
            core.runtime.check([dns], "p")
            core.box("dns", "n", ports=[published])
        assert core.ask("client", "dns") == [core.address("dns", "n")]
        assert core.observed(Kind.NETWORK, "n").defects == {}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.10.9.7", 53))
            with pytest.raises(ConflictError, match=rf"taken by a process of the host: .* \(pid {os.getpid()}\)"):
                core.runtime.check([dns], "p")
