"""Terminals of commands: the runtime's console socket, and bytes carried between it and the caller's own streams."""

from __future__ import annotations

import array
import fcntl
import os
import secrets
import select
import socket
import struct
import subprocess
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_BYTES = 65536
_SIZE_POLL_S = 0.2
_CONSOLE_S = 10.0


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


@contextmanager
def raw(fd: int, *, keys_only: bool = False) -> Iterator[None]:
    """A terminal of which every key goes on as it is (termios(3), raw mode); what is no terminal stays as it is.

    ``keys_only``: each key at once, but echo and signals stay (for a program that has no terminal of its own).
    """
    if not os.isatty(fd):
        yield
        return
    earlier = termios.tcgetattr(fd)
    if keys_only:
        changed = termios.tcgetattr(fd)
        changed[0] &= ~(termios.IXON | termios.IXOFF)  # they would keep ctrl-q
        changed[3] &= ~termios.ICANON
        termios.tcsetattr(fd, termios.TCSADRAIN, changed)
    else:
        tty.setraw(fd, termios.TCSADRAIN)  # what was typed ahead is kept
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, earlier)


def window(fd: int) -> tuple[int, int] | None:
    """Rows and columns of a terminal; None for what is none."""
    try:
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        return None
    return rows, columns


def resize(fd: int, size: tuple[int, int]) -> None:
    """Set rows and columns of a terminal."""
    with suppress(OSError):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))


def relay(master: int, child: subprocess.Popen[bytes], keys: bytes = b"", source: int = 0, sink: int = 1) -> bool:
    """Carry bytes and window size between a terminal and the caller's streams until ``child`` has ended.

    False: before that ``keys`` were typed.
    """
    sized: tuple[int, int] | None = None
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
            if ended and master not in ready:
                return True


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, _BYTES)
    except OSError:  # EIO: the last process that had the terminal is gone
        return b""


def write_all(fd: int, data: bytes) -> None:
    """Write it whole."""
    while data:
        data = data[os.write(fd, data) :]


class DetachKeys:
    """Finds a sequence of keys in what is typed; what only begins like it is held back until it is known."""

    def __init__(self, keys: bytes) -> None:
        self.keys, self._held = keys, b""

    def take(self, data: bytes) -> tuple[bytes, bool]:
        """What is to go on, and whether the sequence was typed."""
        data = self._held + data
        position = data.find(self.keys) if self.keys else -1
        if position >= 0:
            return data[:position], True
        held = next((n for n in range(min(len(self.keys) - 1, len(data)), 0, -1) if self.keys.startswith(data[-n:])), 0)
        self._held = data[len(data) - held :]
        return data[: len(data) - held], False


def parse_keys(text: str) -> bytes:
    """``ctrl-p,ctrl-q`` as bytes (docker attach, --detach-keys). Raises ValueError."""
    found = b""
    for word in filter(None, text.split(",")):
        sign = word.removeprefix("ctrl-").lower() if word.startswith("ctrl-") else word
        if len(sign) != 1 or (word != sign and not "@" <= sign.upper() <= "_"):
            raise ValueError(f"{word!r} is no key; write a letter, or ctrl- and one")
        found += bytes([ord(sign.upper()) & 0x1F]) if word != sign else sign.encode()
    return found
