"""Standard streams over an upgraded connection (Engine API, "ContainerAttach"): framed, or raw with a terminal."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from bayplan.errors import UnsupportedError
from bayplan.runtime.engine_api.answers import AnswerError
from bayplan.runtime.engine_api.client import EngineClient

_HEADER = struct.Struct(">BxxxL")
_BYTES = 65536
_UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}


class Frames:
    """Puts frames together from the pieces in which they come: stream number and content."""

    def __init__(self) -> None:
        self._held = b""

    def take(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that are whole now; those of standard input (0) count as output, as Docker says."""
        self._held += data
        found = []
        while len(self._held) >= _HEADER.size:
            stream, size = _HEADER.unpack_from(self._held)
            if len(self._held) < _HEADER.size + size:
                break
            found.append((stream or 1, self._held[_HEADER.size : _HEADER.size + size]))
            self._held = self._held[_HEADER.size + size :]
        return found


def frames(pieces: Iterable[bytes], *, tty: bool) -> Iterator[tuple[int, bytes]]:
    """Stream number and content of an answer."""
    known = Frames()
    for piece in pieces:
        yield from [(1, piece)] if tty else known.take(piece)


class Connection:
    """An upgraded connection: a ``system.terminal.Peer``. ``sized`` is the path at which its terminal gets a size."""

    def __init__(
        self,
        client: EngineClient,
        path: str,
        *,
        tty: bool,
        sized: str = "",
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        ends: bool = True,
    ) -> None:
        """``ends``: the end of the caller's input is told. Raises AnswerError."""
        self._client, self._tty, self._sized, self._ends = client, tty, sized, ends
        self._answer = client.upgraded(path, body=body, query=query or {}, headers=_UPGRADE)
        reader = self._answer.reader
        self._socket: socket.socket = reader.raw._sock
        self._first = b""
        self._socket.setblocking(False)
        with suppress(ValueError, ssl.SSLWantReadError):
            self._first = bytes(reader.peek())
        self._socket.setblocking(True)
        if isinstance(self._socket, ssl.SSLSocket) and (held := self._socket.pending()):
            self._first += self._socket.recv(held)  # decrypted already: no select(2) would tell of it
        self._frames = Frames()

    def fileno(self) -> int:
        """Readable when there is something."""
        return self._socket.fileno()

    @property
    def waiting(self) -> bytes:
        """What had come before anybody asked; it is given once."""
        first, self._first = self._first, b""
        return first

    def receive(self) -> list[tuple[int, bytes]] | None:
        """Descriptor (1, 2) and content; None at the end."""
        try:
            data = self.waiting or self._socket.recv(_BYTES)
        except ConnectionResetError:
            return None
        if not data:
            return None
        return [(1, data)] if self._tty else [(2 if one == 2 else 1, part) for one, part in self._frames.take(data)]

    def everything(self, deadline: float | None = None) -> tuple[bytes, bytes]:
        """Output and errors to the end. Raises TimeoutError at ``deadline`` (of time.monotonic)."""
        found: dict[int, list[bytes]] = {1: [], 2: []}
        while True:
            if deadline is not None:
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            parts = self.receive()
            if parts is None:
                return b"".join(found[1]), b"".join(found[2])
            for fd, part in parts:
                found[fd].append(part)

    def send(self, data: bytes) -> None:
        """To its standard input."""
        self._socket.sendall(data)

    def end(self) -> None:
        """Close its standard input alone. Raises UnsupportedError over TLS, which has no such half."""
        if not self._ends:
            return
        if self._client.place.scheme == "https":
            raise UnsupportedError("the end of standard input cannot be told over TLS", hint="use ssh://")
        self._socket.shutdown(socket.SHUT_WR)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the size of the caller's terminal; one that has ended has none."""
        with suppress(AnswerError):
            self._client.call("POST", self._sized, query={"h": rows, "w": columns})

    def close(self) -> None:
        """Let go of it."""
        self._answer.close()
        with suppress(OSError):
            self._socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
