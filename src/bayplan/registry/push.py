"""Blobs and manifests brought to a registry by the OCI distribution specification, "Push"."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from bayplan.errors import RetryableError, UnavailableError
from bayplan.models.reference import ImageReference
from bayplan.registry.addresses import joined
from bayplan.registry.client import RegistryClient
from bayplan.registry.failures import failure
from bayplan.registry.tokens import Scope

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_PIECE = 1 << 20
_RANGE = re.compile(r"(?:bytes=)?0-(\d+)")
Tick = Callable[[int], None]
"""Gets how many bytes of a blob the registry has."""


class Pusher:
    """Push side of one repository. Thread-safe. A mirror is never written to."""

    def __init__(self, client: RegistryClient, ref: ImageReference) -> None:
        self.transport, self.limits = client.transport, client.limits
        self.ref, self.end = ref, client.endpoints(ref)[-1]
        self._scope = Scope(self.end.repository, "pull,push")
        self._base = f"{self.end.base}/v2/{self.end.repository}"

    def has(self, digest: str) -> bool:
        """Whether the repository holds the blob."""
        response = self.transport.request(self.end, "HEAD", f"{self._base}/blobs/{digest}", self._scope)
        if response.status in (200, 404):
            response.close()
            return response.status == 200
        raise failure(response, f"blob {digest}", self.end.host)

    def mount(self, digest: str, source: str) -> bool:
        """Take the blob over from another repository of the registry; whether that worked ("Mounting a blob")."""
        query = urlencode({"mount": digest, "from": source})
        scope = Scope(self.end.repository, "pull,push", source)
        response = self.transport.request(self.end, "POST", f"{self._base}/blobs/uploads/?{query}", scope)
        mounted, session = response.status == 201, response.headers.get("Location", "")
        response.close()
        if response.status == 202 and session:
            # The registry began an upload instead; the blob will come by one of its own.
            self.transport.request(self.end, "DELETE", joined(self._base, session, self.end), self._scope).close()
        return mounted

    def upload(self, digest: str, path: Path, tick: Tick) -> None:
        """Bring a blob; begun anew when it is cut, chunks resumed where the registry says it is."""
        size = path.stat().st_size
        send = self._whole if size <= self.limits.chunk_bytes else self._chunked
        for left in reversed(range(self.limits.attempts)):
            try:
                send(digest, path, size, tick)
            except RetryableError:
                if not left:
                    raise
                self._pause(self.limits.attempts - left)
            else:
                return

    def manifest(self, data: bytes, media_type: str, digest: str) -> None:
        """Give the tag, or the digest, to a manifest whose blobs are there."""
        target = f"{self._base}/manifests/{self.ref.tag or digest}"
        headers = {"Content-Type": media_type}
        for left in reversed(range(self.limits.attempts)):
            try:
                response = self.transport.request(self.end, "PUT", target, self._scope, headers=headers, body=data)
                self._want(response, 201, f"manifest of {self.ref}")
            except RetryableError:
                if not left:
                    raise
                self._pause(self.limits.attempts - left)
            else:
                return

    def _begin(self) -> str:
        response = self.transport.request(
            self.end, "POST", f"{self._base}/blobs/uploads/", self._scope, headers={"Content-Length": "0"}
        )
        self._want(response, 202, f"an upload to {self.ref.name}")
        return joined(f"{self._base}/", response.headers.get("Location", ""), self.end)

    def _whole(self, digest: str, path: Path, size: int, tick: Tick) -> None:
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        target = _with_digest(self._begin(), digest)
        response = self.transport.request(
            self.end, "PUT", target, self._scope, headers=headers, body=lambda: _pieces(path, 0, size, tick)
        )
        self._want(response, 201, f"blob {digest}")

    def _chunked(self, digest: str, path: Path, size: int, tick: Tick) -> None:
        place, done, cuts = self._begin(), 0, 0
        while done < size:
            begin, end = done, min(size, done + self.limits.chunk_bytes)
            headers = {
                "Content-Length": str(end - begin),
                "Content-Range": f"{begin}-{end - 1}",
                "Content-Type": "application/octet-stream",
            }
            try:
                response = self.transport.request(
                    self.end, "PATCH", place, self._scope, headers=headers, body=_body(path, begin, end, tick)
                )
                self._want(response, 202, f"blob {digest}")
            except RetryableError:
                cuts += 1
                if cuts >= self.limits.attempts:
                    raise
                self._pause(cuts)
                place, done = self._where(place, digest)
            else:
                place, done = joined(place, response.headers.get("Location", place), self.end), end
        response = self.transport.request(
            self.end, "PUT", _with_digest(place, digest), self._scope, headers={"Content-Length": "0"}
        )
        self._want(response, 201, f"blob {digest}")

    def _where(self, place: str, digest: str) -> tuple[str, int]:
        """How far a cut upload is ("Pushing a blob in chunks": GET gives 204 with a Range)."""
        response = self.transport.request(self.end, "GET", place, self._scope)
        self._want(response, 204, f"blob {digest}")
        match = _RANGE.fullmatch(response.headers.get("Range", ""))
        done = int(match[1]) + 1 if match else 0
        # An empty upload is told as 0-0, as one byte is: sending that byte again is refused, so it begins anew.
        if done <= 1:
            raise UnavailableError(f"blob {digest} was cut", where=f"registry {self.end.host}", hint="try again")
        return joined(place, response.headers.get("Location", place), self.end), done

    def _want(self, response: BaseHTTPResponse, status: int, what: str) -> None:
        if response.status != status:
            raise failure(response, what, self.end.host)
        response.drain_conn()
        response.release_conn()

    def _pause(self, count: int) -> None:
        time.sleep(min(self.limits.first_wait_s * 2 ** (count - 1), self.limits.longest_wait_s))


def _with_digest(place: str, digest: str) -> str:
    return f"{place}{'&' if '?' in place else '?'}{urlencode({'digest': digest})}"


def _body(path: Path, begin: int, end: int, tick: Tick) -> Callable[[], Iterator[bytes]]:
    return lambda: _pieces(path, begin, end, tick)


def _pieces(path: Path, begin: int, end: int, tick: Tick) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(begin)
        while begin < end and (piece := file.read(min(_PIECE, end - begin))):
            yield piece
            begin += len(piece)
            tick(begin)
