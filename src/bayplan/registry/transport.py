"""Requests to registries: connections, bounded retries, capped redirects, credentials.

Only what is idempotent is tried again here (RFC 9110, 9.2.2): GET and HEAD, after 429, 500, 502, 503, 504 and after a
connection that was cut. Uploads are begun anew by who knows what they are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bayplan.errors import UnavailableError
from bayplan.registry.addresses import joined
from bayplan.registry.auth import parse_challenges
from bayplan.registry.limits import Limits
from bayplan.registry.mirrors import Endpoint
from bayplan.registry.tokens import Scope, Tokens

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager
    from urllib3.exceptions import HTTPError

Body = bytes | Callable[[], Iterator[bytes]] | None
_SAFE = ("GET", "HEAD")
_AGAIN = frozenset({429, 500, 502, 503, 504})
_MOVED = frozenset({301, 302, 303, 307, 308})
_MIN_CHUNK = 1 << 20


class Transport:
    """Thread-safe; connections and tokens are kept."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.tokens = Tokens()
        self._pool: PoolManager | None = None
        self._lock = threading.Lock()

    def request(
        self,
        end: Endpoint,
        method: str,
        url: str,
        scope: Scope,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
    ) -> BaseHTTPResponse:
        """The answer, whatever its status; a challenge is answered once, and only the registry's own.

        Another host, to which it has sent us, gets no credentials and no say in where they go. Raises UnavailableError.
        A body that is a function gives the bytes anew for each try; its length stands in ``headers``.
        """
        given = dict(headers or {})
        used = self.tokens.known(end, scope)
        response, is_own = self._follow(end, method, url, given, body, used)
        if response.status != 401 or not is_own:
            return response
        try:
            challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
            authorization = self.tokens.answer(self, end, scope, challenges, used)
        except BaseException:
            response.close()
            raise
        if authorization is None:
            return response
        response.close()
        return self._follow(end, method, url, given, body, authorization)[0]

    def send(
        self, end: Endpoint, method: str, url: str, headers: Mapping[str, str], body: Body = None, *, safe: bool = False
    ) -> BaseHTTPResponse:
        """One address, no redirects; tried again when the method, or ``safe``, says that this does no harm."""
        wait, tries = self.limits.first_wait_s, self.limits.attempts if safe or method in _SAFE else 1
        for left in reversed(range(tries)):
            try:
                response = self._once(method, url, headers, body)
            except _Cut as error:
                if not left:
                    raise UnavailableError(
                        f"cannot be reached: {error}", where=f"registry {end.host}", hint="try again"
                    ) from error.__cause__
                time.sleep(min(wait, self.limits.longest_wait_s))
            except _Away as error:
                what, where = f"cannot be reached: {error}", f"registry {end.host}"
                raise UnavailableError(what, where=where, hint=error.hint) from error.__cause__
            else:
                if response.status not in _AGAIN or not left:
                    return response
                pause = min(_asked(response.headers.get("Retry-After", ""), wait), self.limits.longest_wait_s)
                response.close()
                time.sleep(pause)
            wait *= 2
        raise AssertionError("the last try returns or raises")

    def chunks(self, response: BaseHTTPResponse, deadline_s: float | None = None) -> Iterator[bytes]:
        """The body as it arrives. Raises UnavailableError when it is cut, too slow, or not there by ``deadline_s``.

        The body is taken as it is sent: no decoding, whose result could be larger without bound.
        """
        from urllib3.exceptions import HTTPError

        limits = self.limits
        begin = since = time.monotonic()
        count = 0
        try:
            while chunk := response.read1(_MIN_CHUNK, decode_content=False):
                yield chunk
                count += len(chunk)
                now = time.monotonic()
                if deadline_s is not None and now - begin > deadline_s:
                    raise UnavailableError(f"was not there after {deadline_s:.0f} s")
                if now - since > limits.rate_window_s:
                    if count / (now - since) < limits.min_rate_bytes_s:
                        raise UnavailableError(f"arrives slower than {limits.min_rate_bytes_s:.0f} bytes a second")
                    since, count = now, 0
        except (HTTPError, OSError) as error:
            raise UnavailableError(f"was cut: {error}") from error

    def document(self, response: BaseHTTPResponse, limit: int) -> bytes:
        """A whole body of at most ``limit`` bytes, and one more for the caller to see that it was larger."""
        data = bytearray()
        for chunk in self.chunks(response, self.limits.document_s):
            data += chunk
            if len(data) > limit:
                break
        return bytes(data[: limit + 1])

    def _follow(  # noqa: PLR0917 - the parts of a request in their order
        self, end: Endpoint, method: str, url: str, headers: dict[str, str], body: Body, auth: str | None
    ) -> tuple[BaseHTTPResponse, bool]:
        """Redirects of what is safe; credentials stay with the registry. The answer, and whether it is the registry's.

        An upload, too, may be at an address elsewhere.
        """
        for _ in range(self.limits.redirects + 1):
            is_own = _origin(url) == _origin(end.base)
            own = {"Authorization": auth} if auth and is_own else {}
            response = self.send(end, method, url, {**headers, **own}, body)
            if response.status not in _MOVED or method not in _SAFE:
                return response, is_own
            response.close()
            url = joined(url, response.headers.get("Location", ""), end)
        raise UnavailableError("too many redirects", where=f"registry {end.host}")

    def _once(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> BaseHTTPResponse:
        from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

        try:
            return self._connections().request(
                method,
                url,
                headers=headers,
                body=body() if callable(body) else body,
                redirect=False,
                retries=False,
                preload_content=False,
            )
        except (ProtocolError, ReadTimeoutError) as error:
            raise _Cut(str(error)) from error
        except HTTPError as error:
            raise _Away(error) from error

    def _connections(self) -> PoolManager:
        import urllib3

        with self._lock:
            if self._pool is None:
                timeout = urllib3.Timeout(connect=self.limits.connect_s, read=self.limits.silence_s)
                self._pool = urllib3.PoolManager(num_pools=16, maxsize=8, timeout=timeout)
            return self._pool


class _Cut(Exception):  # noqa: N818 - not an error of the product: it is tried again, or told as one
    """The connection broke after it was made."""


class _Away(Exception):  # noqa: N818 - as above
    """There was no connection: the reason in the system's words, and what to do."""

    def __init__(self, error: HTTPError) -> None:
        from urllib3.exceptions import NameResolutionError, NewConnectionError

        if isinstance(error, NameResolutionError):
            super().__init__("no address is known for its name")
            self.hint = "check its spelling and this host's name servers; registries.conf can name a mirror"
            return
        cause = error.__cause__ if isinstance(error, NewConnectionError) else None
        super().__init__(cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error))
        self.hint = "is it running, and is it marked insecure in registries.conf if it speaks plain HTTP?"


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port, however it is spelled (RFC 6454, 4)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _asked(header: str, otherwise: float) -> float:
    """Seconds of a Retry-After header: a number or a date (RFC 9110, 10.2.3)."""
    if header.isascii() and header.isdigit():
        return float(header)
    from email.utils import parsedate_to_datetime

    try:
        when = parsedate_to_datetime(header)
    except (TypeError, ValueError):
        return otherwise
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
