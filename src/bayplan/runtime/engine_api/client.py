"""The connection to an engine: the docker SDK's low-level client, with errors of ours.

The SDK does transport, TLS, streams and the framing of attached ones; ``call`` is for what it has no words for.
Versions: Docker Engine API 1.41 (20.10) is the oldest, Podman answers as 1.40 or 1.41 whatever it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import docker
import requests
import urllib3
from docker import errors as sdk

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
from bayplan.system.ssh import Remote, Tunnel

OLDEST_API = (1, 40)
NEWEST_API = (1, 51)
"""The newest that this was written for (Docker 28.3): a newer engine is asked in this version's words."""
_TIMEOUT_S = 120
_SOCKET, _OK = "http+docker://localhost", 200
_OLDEST = {"docker": "Docker 20.10", "podman": "Podman 4.3"}


class EngineClient(docker.APIClient):
    """One engine. Safe to use from many threads. ``kind`` is what the service itself says it is."""

    def __init__(self, place: places.Place, *, api: str = "auto") -> None:
        self.place = place
        self._tunnel: Tunnel | None = None
        address = place.address
        if place.scheme == "ssh":
            parts = urlsplit(address)
            remote = Remote.parse(urlunsplit((parts.scheme, parts.netloc, "", "", "")))
            self._tunnel = Tunnel(remote, parts.path)
            address = f"unix://{self._tunnel.path}"
        try:
            # The version is asked for below, where an old one can be told from a broken one.
            super().__init__(base_url=address, version="1.40", timeout=_TIMEOUT_S, tls=place.tls or False)
            # A socket has no proxy: the environment is not asked for one at each call, a quarter of its time.
            self.trust_env = place.scheme not in ("unix", "ssh")
            self._know(api)
        except BaseException:
            self.close()
            raise

    def _know(self, api: str) -> None:
        """Ask what it is, and settle on an API version both know."""
        found = self.version(api_version=False)
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
        chosen = min(newest, NEWEST_API) if api == "auto" else _numbers(api)
        self._version = ".".join(map(str, chosen))

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """The authority of engines is the settings': requests would rather take that of REQUESTS_CA_BUNDLE."""
        verify = self.verify if verify is None else verify
        return super().merge_environment_settings(url, proxies, stream, verify, cert)

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
    ) -> Any:
        """JSON of Docker's API; ``path`` without version. None for an empty answer. Raises the SDK's errors."""
        return self._answer(method, f"{self.base_url}/v{self._version}{path}", body, query, headers)

    def libpod(self, method: str, path: str, *, body: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        """JSON of Podman's own API in the words of its oldest version; as ``call``."""
        return self._answer(method, f"{self.base_url}/v4.0.0/libpod{path}", body, query)

    def _answer(
        self,
        method: str,
        url: str,
        body: Any,
        query: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        given = {"User-Agent": "bayplan", **(headers or {})}
        if method == "GET" and not body and url.startswith(_SOCKET):
            with suppress(urllib3.exceptions.HTTPError):
                answer = self._asked(url, query, given)
                if answer.status == _OK:
                    return _read(answer.data)
        response = self.request(method, url, params=_flat(query or {}), json=body, timeout=self.timeout, headers=given)
        try:
            response.raise_for_status()
        except requests.exceptions.HTTPError as error:
            sdk.create_api_error_from_http_exception(error)  # it raises
        return _read(response.content)

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

        ``own``: of Podman's own API.

        Raises the SDK's errors; the first of them at once.
        """
        version = "v4.0.0/libpod" if own else f"v{self._version}"
        response = self.request(
            method,
            f"{self.base_url}/{version}{path}",
            params=_flat(query or {}),
            headers={"User-Agent": "bayplan", **(headers or {})},
            data=data,
            stream=True,
            timeout=None,
        )
        try:
            response.raise_for_status()
        except requests.exceptions.HTTPError as error:
            sdk.create_api_error_from_http_exception(error)  # it raises
        return self._pieces(response)

    def headers_of(self, path: str, *, query: Mapping[str, Any] | None = None) -> Mapping[str, str]:
        """The headers of an answer without a body. Raises the SDK's errors."""
        url = f"{self.base_url}/v{self._version}{path}"
        response = self.head(url, params=_flat(query or {}), timeout=self.timeout, headers={"User-Agent": "bayplan"})
        try:
            response.raise_for_status()
        except requests.exceptions.HTTPError as error:
            sdk.create_api_error_from_http_exception(error)  # it raises
        return response.headers

    @staticmethod
    def _pieces(response: requests.Response) -> Iterator[bytes]:
        try:
            yield from response.iter_content(None)
        finally:
            response.close()

    def _asked(self, url: str, query: Mapping[str, Any] | None, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """A question by a socket without what requests does around it, which takes longer than an engine's answer.

        Whatever is not answered well is asked again the long way, which says what is wrong.
        """
        pool: urllib3.HTTPConnectionPool = self.get_adapter(url).get_connection(url)  # type: ignore[attr-defined]
        path = url.removeprefix(_SOCKET) + (f"?{urlencode(_flat(query))}" if query else "")
        return pool.urlopen("GET", path, headers={"Host": "localhost", **headers}, timeout=self.timeout, retries=False)

    def close(self) -> None:
        """Close its connections, and the tunnel to its host."""
        super().close()
        if self._tunnel is not None:
            self._tunnel.close()
            self._tunnel = None


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
    """Errors of the SDK and its transport as errors of ours; ``what`` is the resource or engine they are about."""
    try:
        yield
    except BayplanError:
        raise
    except sdk.APIError as error:
        raise _of_status(error, what) from error
    except requests.exceptions.InvalidJSONError as error:
        raise RuntimeFailureError(f"the engine's answer is not understood: {error}", where=what) from error
    except requests.exceptions.SSLError as error:
        raise AccessDeniedError(f"TLS: {_innermost(error)}", where=what, hint="see engine_tls") from error
    except requests.exceptions.RequestException as error:
        raise _of_transport(_innermost(error), what) from error
    except (sdk.DockerException, json.JSONDecodeError) as error:
        inner = error.__cause__ or error.__context__
        if isinstance(inner, requests.exceptions.RequestException):
            raise _of_transport(_innermost(inner), what) from error
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


def _of_status(error: sdk.APIError, what: str) -> BayplanError:
    status = error.status_code or 500
    text = str(error.explanation or f"status {status}").strip()
    return _KINDS.get(status, RuntimeFailureError)(text, where=what)


def _of_transport(error: BaseException, what: str) -> BayplanError:
    if isinstance(error, PermissionError):
        return AccessDeniedError(
            "its socket may not be used", where=what, hint="run as root, or be of the group that owns the socket"
        )
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return UnavailableError("nobody answers", where=what, hint="is the engine started?")
    return UnavailableError(f"the connection failed: {error}", where=what, hint="did the engine stop? apply again")


def _innermost(error: BaseException) -> BaseException:
    """The fault below the layers of the transport: they wrap it in arguments and reasons."""
    seen = error
    for _ in range(10):
        inner = getattr(seen, "reason", None) or next((a for a in seen.args if isinstance(a, BaseException)), None)
        inner = inner or seen.__cause__ or seen.__context__
        if not isinstance(inner, BaseException):
            break
        seen = inner
        if isinstance(seen, OSError) and seen.errno:
            break
    return seen


def _numbers(version: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in version.split("."))
    except ValueError:
        return (0,)


def _flat(query: Mapping[str, Any]) -> dict[str, Any]:
    """Query values as the API takes them: mappings and lists as JSON, truth as a word."""
    return {
        key: json.dumps(value)
        if isinstance(value, dict | list)
        else str(value).lower()
        if isinstance(value, bool)
        else value
        for key, value in query.items()
        if value is not None
    }
