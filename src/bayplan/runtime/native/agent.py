"""A socket that stands for an ssh agent's: the commands of a build get this one, with the owner they ask for."""

from __future__ import annotations

import os
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bayplan.errors import UnavailableError

_CHUNK = 1 << 16


class Agent:
    """Listens at ``path`` and carries what comes to the agent at ``target`` and back."""

    def __init__(self, path: Path, target: Path) -> None:
        self._path, self._target = path, target

    @contextmanager
    def listening(self, mode: int, uid: int, gid: int) -> Iterator[None]:
        """Answer until the end. Raises UnavailableError when there is no agent."""
        _connected(self._target).close()
        # By its directory's descriptor: the path may be longer than an address may be (unix(7), 108 bytes).
        top = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        server = socket.socket(socket.AF_UNIX)
        try:
            server.bind(f"/proc/self/fd/{top}/{self._path.name}")
            os.chown(self._path, uid, gid)
            self._path.chmod(mode)
            server.listen()
            threading.Thread(target=self._serve, args=(server,), name="ssh agent", daemon=True).start()
            yield
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # wakes the thread
            server.close()
            os.close(top)
            self._path.unlink(missing_ok=True)

    def _serve(self, server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), name="ssh agent", daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        try:
            agent = _connected(self._target)
        except UnavailableError:
            client.close()
            return
        with client, agent, selectors.DefaultSelector() as ready, suppress(OSError):
            ready.register(client, selectors.EVENT_READ, agent)
            ready.register(agent, selectors.EVENT_READ, client)
            while True:
                for key, _ in ready.select():
                    data = os.read(key.fd, _CHUNK)
                    if not data:
                        return
                    key.data.sendall(data)


def _connected(target: Path) -> socket.socket:
    found = socket.socket(socket.AF_UNIX)
    try:
        found.connect(str(target))
    except OSError as error:
        found.close()
        raise UnavailableError(
            f"no ssh agent answers: {error.strerror}", where=str(target), hint="start one with ssh-agent(1)"
        ) from error
    return found
