import os
import socket
import threading

import pytest

from bayplan.errors import UnavailableError
from bayplan.runtime.native.agent import Agent


def test_what_is_said_reaches_the_agent_and_comes_back(tmp_path):
    server = socket.create_server(str(tmp_path / "real"), family=socket.AF_UNIX)

    def echo():
        for _ in range(2):  # the first asks only whether somebody answers
            client, _ = server.accept()
            with client:
                while data := client.recv(100):
                    client.sendall(data[::-1])

    thread = threading.Thread(target=echo, daemon=True)
    thread.start()
    # Longer than an address may be.
    top = tmp_path / ("long" * 40)
    top.mkdir()
    with Agent(top / "shown", tmp_path / "real").listening(0o640, os.geteuid(), os.getegid()):
        assert (top / "shown").stat().st_mode & 0o777 == 0o640
        with socket.socket(socket.AF_UNIX) as client:
            fd = os.open(top, os.O_PATH)
            client.connect(f"/proc/self/fd/{fd}/shown")
            os.close(fd)
            client.sendall(b"abc")
            assert client.recv(100) == b"cba"
    assert not (top / "shown").exists()
    thread.join()
    server.close()
    with (
        pytest.raises(UnavailableError, match="no ssh agent answers"),
        Agent(top / "x", top / "none").listening(0, 0, 0),
    ):
        pass
