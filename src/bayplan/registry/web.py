"""Files fetched by http and https, for ``ADD`` of a URL: bounded, and asked for only when changed."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urljoin, urlsplit

from bayplan.errors import AccessDeniedError, BayplanError, NotFoundError, UnavailableError, UnsupportedError
from bayplan.registry.addresses import is_link_local
from bayplan.registry.failures import PASSING
from bayplan.registry.limits import Limits
from bayplan.registry.mirrors import Endpoint
from bayplan.registry.transport import Transport

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

MAX_BYTES = 16 << 30
_MOVED = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Version:
    """What a server calls one content (RFC 9110, 8.8): ``ETag`` and ``Last-Modified`` as they were sent."""

    etag: str = ""
    modified: str = ""

    @property
    def conditions(self) -> dict[str, str]:
        """Headers with which a server sends only another content (RFC 9110, 13.1)."""
        if self.etag:
            return {"If-None-Match": self.etag}
        return {"If-Modified-Since": self.modified} if self.modified else {}


class Web:
    """Fetches files. Thread-safe."""

    def __init__(self, limits: Limits | None = None, max_bytes: int = MAX_BYTES) -> None:
        self._transport = Transport(limits)
        self._limits, self._max_bytes = self._transport.limits, max_bytes

    def is_same(self, url: str, known: Version) -> bool:
        """Whether the server still has that version; nothing of the content is read. Raises as ``fetch``."""
        if not known.conditions:
            return False
        response = self._get(url, known.conditions)
        response.close()
        return response.status == 304

    def fetch(self, url: str, target: BinaryIO) -> tuple[str, Version]:
        """Write the content to ``target``; its sha256 and version.

        Raises NotFoundError, AccessDeniedError, UnavailableError after some tries, UnsupportedError for one that is too
        large or leads to an address that is not to be used.
        """
        for left in reversed(range(self._limits.attempts)):
            target.seek(0)
            target.truncate()
            response = self._get(url, {})
            try:
                return self._read(url, response, target), _version(response)
            except UnavailableError as error:
                if not left:
                    raise UnavailableError(f"{url} {error.what}", hint="try again") from error
            finally:
                response.close()
            time.sleep(self._limits.first_wait_s)
        raise AssertionError("the last try returns or raises")

    def _read(self, url: str, response: BaseHTTPResponse, target: BinaryIO) -> str:
        found, count = hashlib.sha256(), 0
        for chunk in self._transport.chunks(response):
            count += len(chunk)
            if count > self._max_bytes:
                raise UnsupportedError(f"{url} is larger than {self._max_bytes} bytes", hint="fetch it in a RUN")
            found.update(chunk)
            target.write(chunk)
        return found.hexdigest()

    def _get(self, url: str, headers: dict[str, str]) -> BaseHTTPResponse:
        """The answer at the end of the redirects. From https none leads to http (RFC 9110, 15.4 leaves that to us)."""
        begin, current = urlsplit(url), url
        for _ in range(self._limits.redirects + 1):
            parts = urlsplit(current)
            end = Endpoint(parts.netloc, "")
            # No compression: its result could be larger without bound, and a checksum is of what the server holds.
            given = {"Accept-Encoding": "identity", "User-Agent": "bayplan", **headers}
            try:
                response = self._transport.send(end, "GET", current, given)
            except UnavailableError as error:
                raise UnavailableError(f"{url}: {error.what}", hint="try again") from error
            if response.status not in _MOVED:
                return _checked(url, response)
            response.close()
            current = _next(url, current, response.headers.get("Location", ""), begin.netloc)
        raise UnavailableError(f"{url}: too many redirects")


def _next(url: str, current: str, location: str, origin: str) -> str:
    try:
        found = urljoin(current, location)
        parts = urlsplit(found)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not location or not usable:
        raise UnsupportedError(f"{url} leads to a malformed address: {location[:100]!r}")
    if urlsplit(current).scheme == "https" and parts.scheme != "https":
        raise UnsupportedError(f"{url} leads from https to plain http: {found}", hint="name the address itself")
    if is_link_local(found) and parts.netloc != origin:
        raise UnsupportedError(f"{url} leads to a link-local address: {found}", hint="name the address itself")
    return found


def _checked(url: str, response: BaseHTTPResponse) -> BaseHTTPResponse:
    status = response.status
    if status in (200, 203, 304):
        return response
    response.close()
    error: BayplanError = UnsupportedError(f"{url}: the server answered {status}")
    if status in PASSING or status >= 500:
        error = UnavailableError(f"{url}: the server answered {status}", hint="try again later")
    elif status in (401, 403):
        error = AccessDeniedError(f"{url}: the server answered {status}", hint="ADD has no credentials; fetch in a RUN")
    elif status in (404, 410):
        error = NotFoundError(f"{url}: the server answered {status}", hint="check the address")
    raise error


def _version(response: BaseHTTPResponse) -> Version:
    return Version(response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))
