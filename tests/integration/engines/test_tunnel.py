"""Another host's socket by OpenSSH: a real sshd on loopback, a server on a unix socket behind it."""

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bayplan.errors import UnavailableError
from bayplan.system.ssh import Remote, Tunnel
from sshd import MISSING, sshd

pytestmark = [pytest.mark.host, pytest.mark.skipif(MISSING, reason="package openssh-server is not installed")]


@pytest.fixture
def remote(tmp_path, monkeypatch):
    with sshd(tmp_path / "ssh") as (address, path):
        monkeypatch.setenv("PATH", path)
        yield Remote.parse(address)


@pytest.fixture
def answering(tmp_path):
    """A socket that answers each connection with one line."""
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"hello\n")

        threading.Thread(target=serve, daemon=True).start()
        yield path
        server.shutdown(socket.SHUT_RDWR)


def said(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        return client.recv(100)


def test_a_socket_of_another_host_is_reached_and_closed_again(remote, answering):
    tunnel = Tunnel(remote, str(answering))
    try:
        assert said(tunnel.path) == b"hello\n"
    finally:
        tunnel.close()
    assert not tunnel.path.parent.exists()


def test_who_cannot_log_in_says_why(remote):
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1: ssh did not log in") as caught:
        Tunnel(Remote(remote.host, "nobody-here", remote.port), "/run/x.sock")
    assert "Permission denied" in caught.value.output


def test_ssh_ends_with_a_process_that_is_killed(remote, answering):
    text = (
        "import sys; from bayplan.system.ssh import *\n"
        f"tunnel = Tunnel(Remote({remote.host!r}, {remote.user!r}, {remote.port}), {str(answering)!r})\n"
        "print(tunnel._process.pid, tunnel.path, flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", text]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        number, path = process.stdout.readline().split()
        process.kill()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{number}").exists() and "Z" not in Path(f"/proc/{number}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    Path(path).unlink(missing_ok=True)
    Path(path).parent.rmdir()
