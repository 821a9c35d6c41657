"""Manifests and blobs by the OCI distribution specification, "Pull"."""

from __future__ import annotations

import hashlib
import json
import platform as host_platform
import re
import threading
import time
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin, urlsplit

from bayplan.errors import BayplanError, CorruptStateError, NotFoundError, UnavailableError, UnsupportedError
from bayplan.models.reference import ImageReference
from bayplan.models.settings import Settings
from bayplan.registry import mirrors
from bayplan.registry.auth import Challenge, credentials_for, parse_challenges
from bayplan.registry.mirrors import Endpoint

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MAX_DOCUMENT = 8 << 20
_ATTEMPTS = 4
_LONGEST_WAIT_S = 30.0
_REDIRECTS = 5
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class RegistryClient:
    """Pull side of registries, with mirrors and credentials. Thread-safe; connections are kept."""

    def __init__(self, settings: Settings) -> None:
        self._conf = settings.registries_conf
        self._tables: tuple[dict[str, Any], ...] | None = None
        self._pool: PoolManager | None = None
        self._tokens: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def resolve(self, ref: ImageReference, platform: str | None = None) -> tuple[str, int]:
        """Digest of the platform's manifest and the bytes of its config and layers.

        ``platform`` is ``os/architecture[/variant]``; None is this host's. Raises NotFoundError or UnavailableError.
        """
        digest, _, manifest = self.select(ref, platform)
        return digest, sum(item["size"] for item in [manifest["config"], *manifest["layers"]])

    def select(self, ref: ImageReference, platform: str | None = None) -> tuple[str, bytes, dict[str, Any]]:
        """Digest, bytes and content of the platform's manifest, through an index if there is one."""
        digest, data, document = self.manifest(ref)
        if document.get("mediaType") in INDEX_TYPES or "manifests" in document:
            chosen = _choose(document, platform, ref)
            digest, data, document = self.manifest(ref.with_digest(chosen))
        if "config" not in document or "layers" not in document:
            raise UnsupportedError("not an image manifest that can be pulled (schema 1?)", where=str(ref))
        _check(document, ref)
        return digest, data, document

    def manifest(self, ref: ImageReference) -> tuple[str, bytes, dict[str, Any]]:
        """Digest, bytes and content of what the reference names, checked against its digest if it has one."""
        from urllib3.exceptions import HTTPError

        target = ref.digest or ref.tag or "latest"
        headers = {"Accept": ", ".join(MANIFEST_TYPES + INDEX_TYPES)}
        response = self._first(ref, f"manifests/{target}", headers)
        try:
            data = response.read(_MAX_DOCUMENT + 1)
        except HTTPError as error:
            raise UnavailableError(f"the manifest was cut: {error}", where=ref.registry, hint="try again") from error
        finally:
            response.release_conn()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if len(data) > _MAX_DOCUMENT or (ref.digest and digest != ref.digest):
            raise CorruptStateError(f"the registry answered {digest}, {len(data)} bytes", where=str(ref))
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise CorruptStateError("the manifest is not JSON", where=str(ref)) from error
        if not isinstance(document, dict):
            raise CorruptStateError("the manifest is not an object", where=str(ref))
        _check_kind(document, response.headers.get("Content-Type", ""), ref)
        return digest, data, document

    def fetch_blob(self, ref: ImageReference, digest: str, size: int) -> Iterator[bytes]:
        """Chunks of a blob; raises CorruptStateError after the last one when size or sha256 differ."""
        from urllib3.exceptions import HTTPError

        response = self._first(ref, f"blobs/{digest}", {})
        found, count = hashlib.sha256(), 0
        try:
            for chunk in response.stream(1 << 20, decode_content=False):
                count += len(chunk)
                if count > size:
                    break
                found.update(chunk)
                yield chunk
        except HTTPError as error:
            raise UnavailableError(f"blob {digest} was cut: {error}", where=ref.registry, hint="try again") from error
        finally:
            response.close()
        if count != size or f"sha256:{found.hexdigest()}" != digest:
            raise CorruptStateError(f"blob {digest} arrived changed ({count} of {size} bytes)", where=str(ref))

    def _first(self, ref: ImageReference, path: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        if self._tables is None:
            self._tables = mirrors.load(self._conf)
        failures: list[BayplanError] = []
        for endpoint in mirrors.endpoints(ref, self._tables):
            try:
                return self._get(endpoint, f"{endpoint.base}/v2/{endpoint.repository}/{path}", headers, ref)
            except (NotFoundError, UnavailableError) as error:
                failures.append(error)
        # Where one place answered that it has no such image, that others cannot be reached is the lesser news.
        missing = [error for error in failures if isinstance(error, NotFoundError)]
        if missing and len(missing) < len(failures):
            missing[0].hint += f"; elsewhere: {failures[-1]}"
        raise (missing or failures[-1:])[0]

    def _get(self, end: Endpoint, url: str, headers: Mapping[str, str], ref: ImageReference) -> BaseHTTPResponse:
        authorization = self._tokens.get((end.host, end.repository))
        response = self._request(end, url, headers, authorization)
        if response.status == 401:
            challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
            response.close()
            authorization = self._authorize(end, challenges)
            response = self._request(end, url, headers, authorization)
        if response.status == 200:
            return response
        response.close()
        if response.status in (401, 403, 404):
            denied = "" if response.status == 404 else " or access is denied"
            hint = "check the spelling of name and tag, or log in to the registry"
            raise NotFoundError(f"image {ref} does not exist{denied}", where=f"registry {end.host}", hint=hint)
        raise UnavailableError(f"the registry answered {response.status}", where=end.host, hint="try again later")

    def _request(self, end: Endpoint, url: str, headers: Mapping[str, str], auth: str | None) -> BaseHTTPResponse:
        """GET with redirects; credentials stay with the origin they were meant for."""
        origin = urlsplit(url)[:2]
        for _ in range(_REDIRECTS):
            own = {"Authorization": auth} if auth and urlsplit(url)[:2] == origin else {}
            response = self._send(end, url, {**headers, **own})
            if response.status not in (301, 302, 303, 307, 308):
                return response
            response.close()
            url = _joined(url, response.headers.get("Location", ""), end)
            if urlsplit(url).scheme != "https" and not end.insecure:
                raise UnavailableError(f"redirected to plain HTTP: {url}", where=end.host)
        raise UnavailableError("too many redirects", where=end.host)

    def _send(self, end: Endpoint, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        from urllib3.exceptions import HTTPError

        wait = 0.5
        for attempt in range(_ATTEMPTS):
            try:
                pool = self._connections()
                response = pool.request(
                    "GET", url, headers=headers, redirect=False, retries=False, preload_content=False
                )
            except HTTPError as error:
                hint = "is it running, and is it marked insecure in registries.conf if it speaks plain HTTP?"
                raise UnavailableError(
                    f"cannot be reached: {error}", where=f"registry {end.host}", hint=hint
                ) from error
            if response.status not in (429, 503) or attempt == _ATTEMPTS - 1:
                break
            after = response.headers.get("Retry-After", "")
            response.close()
            time.sleep(min(float(after) if after.isdigit() else wait, _LONGEST_WAIT_S))
            wait *= 2
        return response

    def _authorize(self, end: Endpoint, challenges: tuple[Challenge, ...]) -> str | None:
        known = credentials_for(end.host, end.repository)
        for challenge in challenges:
            value = None
            if challenge.scheme == "bearer" and "realm" in challenge.parameters:
                value = self._token(end, challenge.parameters)
            elif challenge.scheme == "basic" and known and known.user:
                value = known.basic
            if value:
                self._tokens[(end.host, end.repository)] = value
                return value
        return None

    def _token(self, end: Endpoint, parameters: Mapping[str, str]) -> str | None:
        """The token endpoint of the Docker registry token specification."""
        from urllib3.exceptions import HTTPError

        known = credentials_for(end.host, end.repository)
        query = {"scope": parameters.get("scope") or f"repository:{end.repository}:pull"}
        if "service" in parameters:
            query["service"] = parameters["service"]
        realm = _joined("", parameters["realm"], end)
        if urlsplit(realm).scheme != "https" and not end.insecure:
            raise UnavailableError("its token service speaks plain HTTP", where=f"registry {end.host}")
        if _is_link_local(realm):
            raise UnavailableError(f"its token service {realm} is link-local", where=f"registry {end.host}")
        headers = {"Authorization": known.basic} if known and known.user else {}
        response = self._send(end, f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}", headers)
        try:
            answer = json.loads(response.read(_MAX_DOCUMENT)) if response.status == 200 else {}
        except HTTPError as error:
            raise UnavailableError(f"its token service failed: {error}", where=f"registry {end.host}") from error
        except (ValueError, RecursionError):
            answer = {}
        finally:
            response.close()
        token = answer.get("token") or answer.get("access_token") if isinstance(answer, dict) else None
        return f"Bearer {token}" if isinstance(token, str) and _TOKEN.fullmatch(token) else None

    def _connections(self) -> PoolManager:
        with self._lock:
            if self._pool is None:
                from urllib3 import PoolManager, Timeout

                self._pool = PoolManager(maxsize=16, timeout=Timeout(connect=10, read=60))
            return self._pool


def _joined(base: str, target: str, end: Endpoint) -> str:
    """An address that a registry gave. Raises UnavailableError when it is none."""
    try:
        found = urljoin(base, target)
        urlsplit(found)
    except ValueError as error:
        raise UnavailableError(f"it named a malformed address: {error}", where=f"registry {end.host}") from error
    return found


def _is_link_local(url: str) -> bool:
    """Where clouds serve a machine's own credentials (169.254.169.254): no place a registry may send us to."""
    try:
        return ip_address((urlsplit(url).hostname or "").partition("%")[0]).is_link_local
    except ValueError:
        return False


def _check_kind(document: Mapping[str, Any], content_type: str, ref: ImageReference) -> None:
    """One reading only: what is a manifest to one client and an index to another is refused (CVE-2021-41190)."""
    said, sent = document.get("mediaType"), content_type.partition(";")[0].strip()
    known = MANIFEST_TYPES + INDEX_TYPES
    if said and sent in known and said != sent:
        raise CorruptStateError(f"the registry sent {sent}, the document says {said}", where=str(ref))
    kind = said or sent
    is_image, is_index = "config" in document or "layers" in document, "manifests" in document
    if (is_image and (is_index or kind in INDEX_TYPES)) or (is_index and kind in MANIFEST_TYPES):
        raise CorruptStateError("it can be read as a manifest and as an index", where=str(ref))


def _check(manifest: Mapping[str, Any], ref: ImageReference) -> None:
    """Every digest and size before anything is asked for by them. Raises CorruptStateError."""
    layers = manifest["layers"]
    for item in [manifest["config"], *(layers if isinstance(layers, list) else [None])]:
        fields = item if isinstance(item, dict) else {}
        size = fields.get("size")
        if not _DIGEST.fullmatch(str(fields.get("digest"))) or type(size) is not int or size < 0:
            raise CorruptStateError("the manifest is malformed: no digest or size", where=str(ref))
    if manifest["config"]["size"] > _MAX_DOCUMENT:
        raise CorruptStateError(f"its configuration is larger than {_MAX_DOCUMENT} bytes", where=str(ref))


def _choose(index: dict[str, Any], platform: str | None, ref: ImageReference) -> str:
    machine = host_platform.machine()
    wanted = (platform or f"linux/{_MACHINES.get(machine, machine)}").split("/")
    offered = []
    entries = index.get("manifests")
    for entry in entries if isinstance(entries, list) else ():
        own = entry.get("platform") or {} if isinstance(entry, dict) else {}
        if not isinstance(own, dict):
            continue
        offered.append("/".join(str(own[key]) for key in ("os", "architecture", "variant") if own.get(key)))
        if [own.get("os"), own.get("architecture"), own.get("variant")][: len(wanted)] == wanted:
            digest = str(entry.get("digest"))
            if not _DIGEST.fullmatch(digest):
                raise CorruptStateError(f"the index is malformed: {digest!r} is no digest", where=str(ref))
            return digest
    hint = f"it has {', '.join(sorted(set(offered)))}"
    raise NotFoundError(f"image {ref} has no manifest for {'/'.join(wanted)}", where=ref.registry, hint=hint)
