"""Standard streams of a running container, by the attach socket of its monitor.

The socket (``attach`` in the bundle, SOCK_SEQPACKET) gives packets that begin with the number of their stream, 2 or 3
as conmon's ``stdpipe_t`` has it; what is written to it goes to standard input.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass

from bayplan.errors import RuntimeFailureError
from bayplan.runtime.native.containers.paths import Paths
from bayplan.system import terminal
from bayplan.system.processes import Process

_BYTES = 65536
_ERRORS = 3


def attach(paths: Paths, *, tty: bool, stdin: bool, keys: bytes, tell: Process | None = None) -> bool:
    """Carry the streams until the container ends (True), or the keys to detach were typed (False).

    ``tell`` gets the signals that the caller gets. Raises RuntimeFailureError when its monitor is gone.
    """
    return carry(connected(paths), paths, tty=tty, stdin=stdin, keys=keys, tell=tell)


def carry(
    joined: socket.socket, paths: Paths, *, tty: bool, stdin: bool, keys: bytes, tell: Process | None = None
) -> bool:
    """Like ``attach`` over a socket that is connected already; closes it. What comes through a pipe is no key."""
    with joined:
        peer = _Monitor(joined, paths)
        return terminal.join(peer, tty=tty, stdin=stdin, keys=keys, tell=tell.send if tell else None)


@dataclass(frozen=True)
class _Monitor:
    """The monitor's end of the streams."""

    socket: socket.socket
    paths: Paths

    def fileno(self) -> int:
        return self.socket.fileno()

    def receive(self) -> list[tuple[int, bytes]] | None:
        try:
            packet = self.socket.recv(_BYTES)
        except ConnectionResetError:
            return None
        return [(2 if packet[0] == _ERRORS else 1, packet[1:])] if packet else None

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def end(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def resize(self, rows: int, columns: int) -> None:
        _tell(self.paths, b"1 %d %d\n" % (rows, columns))


def connected(paths: Paths) -> socket.socket:
    """The monitor's socket; what is written from now on comes to it. Raises RuntimeFailureError when nobody answers."""
    directory = os.open(paths.run, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        peer.connect(f"/proc/self/fd/{directory}/attach")
    except OSError as error:
        peer.close()
        hint = "restart the container"
        raise RuntimeFailureError(f"its monitor does not answer: {error.strerror}", hint=hint) from error
    finally:
        os.close(directory)
    return peer


def _tell(paths: Paths, message: bytes) -> None:
    with suppress(OSError):
        fd = os.open(paths.control, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(fd, message)
        finally:
            os.close(fd)
