"""Terminals of commands: the runtime's console socket, and bytes carried between it and the caller's own streams."""

from __future__ import annotations

import array
import os
import secrets
import select
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from bayplan.system.terminal import DetachKeys, raw, resize, window, write_all

_BYTES = 65536
_SIZE_POLL_S = 0.2
_CONSOLE_S = 10.0
_END, _ENDS = b"\x04", 3
"""What ends the input of a terminal (termios(3), VEOF); typed again for a shell that sets its terminal up meanwhile."""


class ConsoleSocket:
    """Where an OCI runtime sends the master side of a terminal it made (runc, docs/terminals.md, "New Terminal")."""

    def __init__(self, directory: Path) -> None:
        self._directory = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        # By the descriptor: the path of a container's directory may be longer than a socket's may be (unix(7), 108).
        self.path = Path(f"/proc/{os.getpid()}/fd/{self._directory}/tty-{secrets.token_hex(4)}")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(self.path))
        self._socket.listen(1)

    def receive(self, child: subprocess.Popen[bytes]) -> int | None:
        """The terminal's master; None when the runtime ended without sending one."""
        deadline = time.monotonic() + _CONSOLE_S
        while not select.select([self._socket], [], [], 0.01)[0]:
            if child.poll() is not None or time.monotonic() > deadline:
                return None
        peer, _ = self._socket.accept()
        with peer:
            space = socket.CMSG_SPACE(array.array("i").itemsize)
            _, messages, _, _ = peer.recvmsg(4096, space, socket.MSG_CMSG_CLOEXEC)
        for level, kind, data in messages:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                return int(array.array("i", data)[0])
        return None

    def close(self) -> None:
        """Remove the socket."""
        self._socket.close()
        self.path.unlink(missing_ok=True)
        os.close(self._directory)


def relay(master: int, child: subprocess.Popen[bytes], keys: bytes = b"", source: int = 0, sink: int = 1) -> bool:
    """Carry bytes and window size between a terminal and the caller's streams until ``child`` has ended.

    False: before that ``keys`` were typed. The end of a source that is no terminal is typed as what ends one.
    """
    sized: tuple[int, int] | None = None
    ends, from_terminal = 0, os.isatty(source)
    sources, finder = [master, source], DetachKeys(keys)
    with raw(source):
        while True:
            size = window(sink) or window(source)
            if size and size != sized:
                sized = size
                resize(master, size)
            ended = child.poll() is not None
            watched = [master] if ended else sources
            ready = select.select(watched, [], [], 0 if ended else _SIZE_POLL_S)[0]
            if master in ready:
                said = _read(master)
                if not said:
                    child.wait()
                    return True
                write_all(sink, said)
            if source in ready:
                typed = _read(source)
                data, left = finder.take(typed)
                write_all(master, data)
                if left:
                    return False
                if not typed:
                    sources.remove(source)
                    ends = 0 if from_terminal else _ENDS
            elif ends and not ready and not ended:
                ends -= 1
                with suppress(OSError):  # EIO: as below
                    os.write(master, _END)
            if ended and master not in ready:
                return True


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, _BYTES)
    except OSError:  # EIO: the last process that had the terminal is gone
        return b""
