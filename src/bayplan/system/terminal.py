"""The caller's terminal and signals while they are joined to a program elsewhere."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol

_NO_TERMINAL = -1
_SIZE_POLL_S = 0.2
_INPUT_BYTES = 8192
_PASSED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
"""What people and programs send; those by which the kernel speaks to this process stay its own."""


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


class Peer(Protocol):
    """A program elsewhere whose standard streams are carried."""

    def fileno(self) -> int:
        """What is readable when there is something to receive."""

    def receive(self) -> list[tuple[int, bytes]] | None:
        """What came, each with the descriptor it is for (1, 2); None at the end."""

    def send(self, data: bytes) -> None:
        """Give it to its standard input."""

    def end(self) -> None:
        """There is no more for its standard input."""

    def resize(self, rows: int, columns: int) -> None:
        """The caller's terminal has this size."""


def join(peer: Peer, *, tty: bool, stdin: bool, keys: bytes, tell: Callable[[int], object] | None = None) -> bool:
    """Carry the caller's streams until the program ends (True), or the keys to detach were typed (False).

    ``tell`` gets the signals that the caller gets. What comes through a pipe is no key.
    """
    with passed_on(tell), raw(0 if stdin else _NO_TERMINAL, keys_only=not tty):
        finder = DetachKeys(keys if stdin and os.isatty(0) else b"")
        watched: list[int] = [peer.fileno(), *([0] if stdin else [])]
        sized: tuple[int, int] | None = None
        while True:
            size = window(1) if tty else None
            if size and size != sized:
                sized = size
                peer.resize(*size)
            ready = select.select(watched, [], [], _SIZE_POLL_S)[0]
            if peer.fileno() in ready:
                packets = peer.receive()
                if packets is None:
                    return True
                for fd, data in packets:
                    write_all(fd, data)
            if 0 in ready:
                data, detached = finder.take(given := typed(0))
                if data:
                    with suppress(BrokenPipeError, ConnectionResetError):
                        peer.send(data)
                if detached:
                    return False
                if not given:
                    watched.remove(0)
                    with suppress(OSError):
                        peer.end()


@contextmanager
def passed_on(send: Callable[[int], object] | None) -> Iterator[None]:
    """Give ``send`` the number of each signal that this process gets meanwhile.

    Nothing where handlers cannot be set (signal(7); Python, "signal").
    """
    if send is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def forward(number: int, _: FrameType | None) -> None:
        send(number)

    earlier = {number: signal.signal(number, forward) for number in _PASSED}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def typed(fd: int) -> bytes:
    """What there is to read; empty at the end."""
    try:
        return os.read(fd, _INPUT_BYTES)
    except OSError:  # EIO: the caller's terminal is gone
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
