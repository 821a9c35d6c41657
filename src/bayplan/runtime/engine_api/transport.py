"""HTTP to one engine, by a socket or by TCP with TLS: kept connections, streams in both directions, upgrades.

On the standard library's client: importing the docker SDK took a third of an apply that changes nothing.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bayplan.runtime.engine_api.answers import TransportError

_PIECE = 1 << 16
_KEPT = 16
"""Idle connections: as many as are used at the same time."""


@dataclass(frozen=True)
class Certificates:
    """Files of TLS on both sides: the authority's, the client's own and its key."""

    ca: Path
    certificate: Path
    key: Path
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """Raises OSError and ssl.SSLError for files that are none."""
        made = ssl.create_default_context(cafile=str(self.ca))
        made.load_cert_chain(self.certificate, self.key)
        if not self.verify:
            made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        return made


class _SocketConnection(http.client.HTTPConnection):
    """To a socket of this host."""

    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Answer:
    """One answer, read whole or in pieces. Whoever takes it closes it."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self.connection, self._response = connection, response
        self.status, self.headers = response.status, response.headers

    def read(self) -> bytes:
        """The rest of it. Raises TransportError."""
        with _transport():
            return self._response.read()

    def pieces(self) -> Iterator[bytes]:
        """As they come, to the end; then it is closed. Raises TransportError."""
        try:
            while True:
                with _transport():
                    piece = self._response.read1(_PIECE)
                if not piece:
                    return
                yield piece
        finally:
            self.close()

    @property
    def reader(self) -> Any:
        """What the head was read through (io.BufferedReader); it may hold the first bytes of an upgraded stream."""
        return self._response.fp

    @property
    def is_over(self) -> bool:
        """Whether it was read to the end and the connection is good for another question."""
        return self._response.isclosed() and self.connection.sock is not None

    def close(self) -> None:
        """End it, and its connection."""
        with suppress(OSError):
            self._response.close()
        self.connection.close()


class Transport:
    """Connections to one engine. Safe to use from many threads. ``address`` is unix://, http:// or https://."""

    def __init__(self, address: str, tls: Certificates | None = None) -> None:
        """Raises TransportError for certificates that are none."""
        self._parts = urlsplit(address)
        self._tls: ssl.SSLContext | None = None
        if tls is not None:
            with _transport():
                self._tls = tls.context()
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str],
        timeout: float | None,
    ) -> Answer:
        """The head of an answer; ``timeout`` (seconds) is how long nothing may come. Raises TransportError."""
        kept = self._kept()
        connection = kept or self._new()
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        try:
            with _transport():
                return Answer(connection, _asked(connection, method, path, body, headers))
        except TransportError:
            connection.close()
            # The engine may have closed a kept connection just now; it has not seen a question then.
            if kept is None or method not in ("GET", "HEAD"):
                raise
        return self.ask(method, path, headers=headers, timeout=timeout)

    def give_back(self, answer: Answer) -> None:
        """Keep the connection of an answer that is over; close any other."""
        if answer.is_over:
            with self._lock:
                if len(self._idle) < _KEPT:
                    self._idle.append(answer.connection)
                    return
        answer.close()

    def close(self) -> None:
        """Close what is kept."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _kept(self) -> http.client.HTTPConnection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            # Nothing was asked, so that whatever can be read is its end.
            if not _is_readable(connection.sock):
                return connection
            connection.close()

    def _new(self) -> http.client.HTTPConnection:
        if self._parts.scheme == "unix":
            return _SocketConnection(self._parts.path, None)
        host, port = self._parts.hostname or "", self._parts.port
        if self._tls is not None:
            return http.client.HTTPSConnection(host, port or 2376, context=self._tls)
        return http.client.HTTPConnection(host, port or 2375)


def _asked(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | Iterable[bytes] | None,
    headers: Mapping[str, str],
) -> http.client.HTTPResponse:
    try:
        connection.request(method, path, body=body, headers=dict(headers))
    except (BrokenPipeError, ConnectionResetError) as error:
        # One that refuses a long body says so before it has read it.
        with suppress(OSError, http.client.HTTPException):
            return connection.getresponse()
        raise error from None
    return connection.getresponse()


def _is_readable(found: socket.socket) -> bool:
    poll = select.poll()
    poll.register(found, select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def _transport() -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise TransportError(str(error)) from error
