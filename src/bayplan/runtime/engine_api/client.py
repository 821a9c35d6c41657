"""The connection to an engine: its API as JSON and streams, with errors of ours.

Versions: Docker Engine API 1.41 (20.10) is the oldest, Podman answers as 1.40 or 1.41 whatever it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from ssl import SSLError
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from bayplan.errors import (
    AccessDeniedError,
    BayplanError,
    ConflictError,
    NotFoundError,
    RuntimeFailureError,
    UnavailableError,
    UnsupportedError,
)
from bayplan.models import Settings
from bayplan.runtime.engine_api import places
from bayplan.runtime.engine_api.answers import AbsentError, AnswerError, TransportError
from bayplan.runtime.engine_api.transport import Answer, Transport
from bayplan.system.probes import ANSWER
from bayplan.system.ssh import Remote, Tunnel

OLDEST_API = (1, 40)
NEWEST_API = (1, 51)
"""The newest that this was written for (Docker 28.3): a newer engine is asked in this version's words."""
TIMEOUT_S = 120.0
"""How long an engine may say nothing."""
_AGENT = {"User-Agent": "bayplan"}
_REFUSED, _ABSENT = 400, 404
_PATH = "/:@!$&'()*+,;=~%"
"""What stays as it is in a path; those who made it have quoted the rest where a name may hold it."""
_OLDEST = {"docker": "Docker 20.10", "podman": "Podman 4.3"}


class EngineClient:
    """One engine. Safe to use from many threads. ``kind`` is what the service itself says it is."""

    kind: str
    engine_version: str
    api_version: str

    def __init__(self, place: places.Place) -> None:
        """Raises TransportError when nobody answers, AnswerError, UnsupportedError for an API that is too old."""
        self.place = place
        self.only_looked = True
        """Whether nothing else was asked, and nothing refused."""
        self._tunnel: Tunnel | None = None
        address = place.address
        if place.scheme == "ssh":
            parts = urlsplit(address)
            remote = Remote.parse(urlunsplit((parts.scheme, parts.netloc, "", "", "")))
            self._tunnel = Tunnel(remote, parts.path)
            address = f"unix://{self._tunnel.path}"
        self._transport = Transport(address, place.tls)
        try:
            self._know()
        except BaseException:
            self.close()
            raise

    def _know(self) -> None:
        """Ask what it is, and settle on an API version both know."""
        found = self._json("GET", "/version")
        names = {str(part.get("Name", "")): part for part in found.get("Components") or ()}
        podman = names.get("Podman Engine")
        self.kind = "podman" if podman else "docker"
        self.engine_version = str((podman or found).get("Version", ""))
        newest, oldest = _numbers(str(found.get("ApiVersion", ""))), _numbers(str(found.get("MinAPIVersion", "1.12")))
        if newest < OLDEST_API or oldest > NEWEST_API:
            raise UnsupportedError(
                f"{self.kind} {self.engine_version} speaks API {'.'.join(map(str, newest))}, which is too"
                f" {'old' if newest < OLDEST_API else 'new'}",
                where=self.place.address,
                hint=f"{_OLDEST[self.kind]} is the oldest that is supported",
            )
        self.api_version = ".".join(map(str, min(newest, NEWEST_API)))

    @property
    def is_local(self) -> bool:
        """Whether its file system is this host's, so that paths mean the same."""
        return self.place.scheme == "unix"

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = TIMEOUT_S,
    ) -> Any:
        """JSON of Docker's API; ``path`` without version. None for an empty answer.

        ``timeout``: seconds in which nothing comes, None for ever. Raises AnswerError, TransportError.
        """
        return self._json(
            method, f"/v{self.api_version}{path}", body=body, query=query, headers=headers, timeout=timeout
        )

    def libpod(self, method: str, path: str, *, body: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        """JSON of Podman's own API in the words of its oldest version; as ``call``."""
        return self._json(method, f"/v4.0.0/libpod{path}", body=body, query=query)

    def streamed(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        own: bool = False,
    ) -> Iterator[bytes]:
        """An answer in the pieces in which it comes, however long that takes. ``data`` is a file or an iterator.

        ``own``: of Podman's own API. Raises AnswerError, TransportError; the first of them at once.
        """
        self.only_looked = False
        version = "v4.0.0/libpod" if own else f"v{self.api_version}"
        return self._open(method, f"/{version}{path}", data, query, headers, timeout=None).pieces()

    def headers_of(self, path: str, *, query: Mapping[str, Any] | None = None) -> Mapping[str, str]:
        """The headers of an answer without a body. Raises AnswerError, TransportError."""
        answer = self._open("HEAD", f"/v{self.api_version}{path}", None, query)
        answer.read()
        self._transport.give_back(answer)
        return dict(answer.headers)

    def upgraded(self, path: str, *, body: Any, query: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
        """An answer whose connection belongs to both sides from then on. Raises AnswerError, TransportError."""
        data = None if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        return self._open("POST", f"/v{self.api_version}{path}", data, query, {**kind, **headers})

    def _json(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = TIMEOUT_S,
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        answer = self._open(method, path, data, query, {**kind, **(headers or {})}, timeout=timeout)
        try:
            content = answer.read()
        finally:
            self._transport.give_back(answer)
        if method == "GET":
            sys.audit(ANSWER, _whole(path, query), content)
        return _read(content)

    def _open(
        self,
        method: str,
        path: str,
        data: Any,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float | None = TIMEOUT_S,
    ) -> Answer:
        self.only_looked &= method == "GET"
        whole = _whole(path, query)
        answer = self._transport.ask(method, whole, body=data, headers={**_AGENT, **(headers or {})}, timeout=timeout)
        if answer.status < _REFUSED:
            return answer
        self.only_looked = False
        try:
            text = _explanation(answer.read()) or f"status {answer.status}"
        finally:
            self._transport.give_back(answer)
        raise (AbsentError if answer.status == _ABSENT else AnswerError)(answer.status, text)

    def close(self) -> None:
        """Close its connections, and the tunnel to its host."""
        self._transport.close()
        if self._tunnel is not None:
            self._tunnel.close()
            self._tunnel = None


def _whole(path: str, query: Mapping[str, Any] | None) -> str:
    given = _flat(query or {})
    return quote(path, safe=_PATH) + (f"?{urlencode(given, doseq=True)}" if given else "")


def _explanation(content: bytes) -> str:
    """What an engine says of an error: JSON with a message (Podman: and a cause), or plain text."""
    text = content.decode(errors="replace").strip()
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return str(found.get("message", text)) if isinstance(found, dict) else text


def _read(content: bytes) -> Any:
    """JSON, or nothing: Podman says OK at places, and that it were JSON."""
    return json.loads(content) if content.strip() not in (b"", b"OK") else None


def connect(settings: Settings, kind: str) -> EngineClient:
    """The engine of a kind (docker, podman).

    Raises UnavailableError when nobody answers, AccessDeniedError when it may not be asked, UnsupportedError for an
    API that is too old and for an engine of the other kind.
    """
    place = places.find(settings, kind)
    _check_socket(place, kind)
    with told(f"{kind} at {place.address}"):
        client = EngineClient(place)
    if client.kind != kind:
        client.close()
        raise UnsupportedError(
            f"{place.address} is {client.kind}, not {kind}", where=place.named_by, hint=f"set engine: {client.kind}"
        )
    return client


def _check_socket(place: places.Place, kind: str) -> None:
    """A socket that is missing or closed to us is the usual trouble: say which."""
    if place.scheme != "unix":
        return
    path = Path(place.socket)
    try:
        missing = not path.exists()
    except PermissionError:
        missing = False
    if missing:
        start = {"docker": "systemctl start docker", "podman": "systemctl start podman.socket"}[kind]
        raise UnavailableError(f"{kind} does not answer: there is no socket {path}", hint=f"is it started? {start}")


@contextmanager
def told(what: str) -> Iterator[None]:
    """Errors of the API and its transport as errors of ours; ``what`` is the resource or engine they are about."""
    try:
        yield
    except BayplanError:
        raise
    except AnswerError as error:
        raise _of_status(error, what) from error
    except TransportError as error:
        cause = error.__cause__ or error
        if isinstance(cause, SSLError):
            raise AccessDeniedError(f"TLS: {cause}", where=what, hint="see engine_tls") from error
        raise _of_transport(cause, what) from error
    except json.JSONDecodeError as error:
        raise RuntimeFailureError(f"the engine's answer is not understood: {error}", where=what) from error


_KINDS: Mapping[int, type[BayplanError]] = {
    400: RuntimeFailureError,
    401: AccessDeniedError,
    403: AccessDeniedError,
    404: NotFoundError,
    409: ConflictError,
    501: UnsupportedError,
    503: UnavailableError,
}


def _of_status(error: AnswerError, what: str) -> BayplanError:
    return _KINDS.get(error.status_code, RuntimeFailureError)(error.explanation, where=what)


def _of_transport(error: BaseException, what: str) -> BayplanError:
    if isinstance(error, PermissionError):
        return AccessDeniedError(
            "its socket may not be used", where=what, hint="run as root, or be of the group that owns the socket"
        )
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return UnavailableError("nobody answers", where=what, hint="is the engine started?")
    return UnavailableError(f"the connection failed: {error}", where=what, hint="did the engine stop? apply again")


def _numbers(version: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in version.split("."))
    except ValueError:
        return (0,)


def _flat(query: Mapping[str, Any]) -> dict[str, Any]:
    """Query values as the API takes them: mappings and lists as JSON, truth as a word; of a tuple each item."""
    return {
        key: json.dumps(value)
        if isinstance(value, dict | list)
        else str(value).lower()
        if isinstance(value, bool)
        else value
        for key, value in query.items()
        if value is not None
    }
