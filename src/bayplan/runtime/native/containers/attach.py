"""Standard streams of a running container, by the attach socket of its monitor.

The socket (``attach`` in the bundle, SOCK_SEQPACKET) gives packets that begin with the number of their stream, 2 or 3
as conmon's ``stdpipe_t`` has it; what is written to it goes to standard input.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from bayplan.errors import RuntimeFailureError
from bayplan.runtime.native.containers import terminal
from bayplan.runtime.native.containers.paths import Paths
from bayplan.system.processes import Process

_BYTES = 65536
_INPUT_BYTES = 8192
_SIZE_POLL_S = 0.2
_ERRORS = 3
_NO_TERMINAL = -1
_PASSED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
"""What people and programs send; those by which the kernel speaks to this process stay its own."""


def attach(paths: Paths, *, tty: bool, stdin: bool, keys: bytes, tell: Process | None = None) -> bool:
    """Carry the streams until the container ends (True), or the keys to detach were typed (False).

    ``tell`` gets the signals that the caller gets. Raises RuntimeFailureError when its monitor is gone.
    """
    return carry(connected(paths), paths, tty=tty, stdin=stdin, keys=keys, tell=tell)


def carry(
    joined: socket.socket, paths: Paths, *, tty: bool, stdin: bool, keys: bytes, tell: Process | None = None
) -> bool:
    """Like ``attach`` over a socket that is connected already; closes it. What comes through a pipe is no key."""
    with joined as peer, _passed_on(tell), terminal.raw(0 if stdin else _NO_TERMINAL, keys_only=not tty):
        finder = terminal.DetachKeys(keys if stdin and os.isatty(0) else b"")
        watched: list[int] = [peer.fileno(), *([0] if stdin else [])]
        sized: tuple[int, int] | None = None
        while True:
            size = terminal.window(1) if tty else None
            if size and size != sized:
                sized = size
                _tell(paths, b"1 %d %d\n" % size)
            ready = select.select(watched, [], [], _SIZE_POLL_S)[0]
            if peer.fileno() in ready:
                packet = _receive(peer)
                if not packet:
                    return True
                terminal.write_all(2 if packet[0] == _ERRORS else 1, packet[1:])
            if 0 in ready:
                data, detached = finder.take(typed := _typed())
                if data:
                    with suppress(BrokenPipeError, ConnectionResetError):
                        peer.sendall(data)
                if detached:
                    return False
                if not typed:
                    watched.remove(0)
                    with suppress(OSError):
                        peer.shutdown(socket.SHUT_WR)


@contextmanager
def _passed_on(process: Process | None) -> Iterator[None]:
    """Send the process what this one is sent; nothing where handlers cannot be set (signal(7); Python, "signal")."""
    if process is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def forward(number: int, _: FrameType | None) -> None:
        process.send(number)

    earlier = {number: signal.signal(number, forward) for number in _PASSED}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _typed() -> bytes:
    try:
        return os.read(0, _INPUT_BYTES)
    except OSError:  # EIO: the caller's terminal is gone
        return b""


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


def _receive(peer: socket.socket) -> bytes:
    try:
        return peer.recv(_BYTES)
    except ConnectionResetError:
        return b""


def _tell(paths: Paths, message: bytes) -> None:
    with suppress(OSError):
        fd = os.open(paths.control, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(fd, message)
        finally:
            os.close(fd)
