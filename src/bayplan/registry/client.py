"""Manifests and blobs by the OCI distribution specification, "Pull"."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from bayplan.errors import BayplanError, CorruptStateError, NotFoundError, UnavailableError, UnsupportedError
from bayplan.models.reference import ImageReference
from bayplan.models.settings import Settings
from bayplan.registry import documents, mirrors, policy
from bayplan.registry.documents import INDEX_TYPES, MANIFEST_TYPES, MAX_DOCUMENT
from bayplan.registry.failures import failure
from bayplan.registry.limits import Limits
from bayplan.registry.mirrors import Endpoint
from bayplan.registry.platforms import choose
from bayplan.registry.tokens import Scope
from bayplan.registry.transport import Transport

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

__all__ = ["INDEX_TYPES", "MANIFEST_TYPES", "RegistryClient"]
_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")


class RegistryClient:
    """Pull side of registries, with mirrors, credentials and policy. Thread-safe; connections are kept."""

    def __init__(self, settings: Settings, limits: Limits | None = None) -> None:
        self._settings = settings
        self._tables: tuple[dict[str, Any], ...] | None = None
        self.transport = Transport(limits)
        self.limits = self.transport.limits

    def resolve(self, ref: ImageReference, platform: str | None = None) -> tuple[str, int]:
        """Digest of the platform's manifest and the bytes of its config and layers.

        ``platform`` is ``os/architecture[/variant]``; None is this host's. Raises NotFoundError or UnavailableError.
        """
        digest, _, manifest = self.select(ref, platform)
        return digest, sum(item["size"] for item in [manifest["config"], *manifest["layers"]])

    def config(self, ref: ImageReference, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration of a manifest, for what a plan tells before a pull. Raises CorruptStateError for none."""
        wanted = manifest["config"]
        if wanted["size"] > MAX_DOCUMENT:
            raise CorruptStateError(f"the configuration has {wanted['size']} bytes", where=str(ref))
        data = b"".join(self.fetch_blob(ref, wanted["digest"], wanted["size"]))
        try:
            config = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise CorruptStateError(f"the configuration is no JSON: {error}", where=str(ref)) from error
        if not isinstance(config, dict):
            raise CorruptStateError("the configuration is no JSON object", where=str(ref))
        return config

    def select(self, ref: ImageReference, platform: str | None = None) -> tuple[str, bytes, dict[str, Any]]:
        """Digest, bytes and content of the platform's manifest, through an index if there is one."""
        digest, data, document = self.manifest(ref)
        if documents.is_index(document):
            digest, data, document = self.manifest(ref.with_digest(choose(document, platform, ref)))
        if "config" not in document or "layers" not in document:
            raise UnsupportedError("not an image manifest that can be pulled (schema 1?)", where=str(ref))
        documents.check_manifest(document, ref)
        return digest, data, document

    def manifest(self, ref: ImageReference) -> tuple[str, bytes, dict[str, Any]]:
        """Digest, bytes and content of what the reference names, checked against its digest if it has one.

        Raises UnsupportedError when the policy forbids it, before anything is asked for.
        """
        policy.check_docker(ref, self._settings.signature_policy)
        target = ref.digest or ref.tag or "latest"
        headers = {"Accept": ", ".join(MANIFEST_TYPES + INDEX_TYPES)}
        for left in reversed(range(self.limits.attempts)):
            response = self._first(ref, f"manifests/{target}", headers)
            try:
                data = self.transport.document(response, MAX_DOCUMENT)
                break
            except UnavailableError as error:
                if not left:
                    what = f"the manifest {error.what}"
                    raise UnavailableError(what, where=ref.registry, hint="try again") from error
            finally:
                response.close()
            self._pause(self.limits.attempts - left)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if len(data) > MAX_DOCUMENT or (ref.digest and digest != ref.digest):
            raise CorruptStateError(f"the registry answered {digest}, {len(data)} bytes", where=str(ref))
        return digest, data, documents.read(data, response.headers.get("Content-Type", ""), ref)

    def fetch_blob(self, ref: ImageReference, digest: str, size: int) -> Generator[bytes, None, None]:
        """Chunks of a blob, resumed where it was cut; always asked of the registry, never of a descriptor's ``urls``.

        Raises CorruptStateError after the last one when size or sha256 differ, UnavailableError when it is cut too
        often.
        """
        found, count = hashlib.sha256(), 0
        idle, cuts = 0, 0
        while True:
            begin = count
            try:
                with closing(self._part(ref, digest, count)) as part:
                    for chunk in part:
                        count += len(chunk)
                        if count > size:
                            break
                        found.update(chunk)
                        yield chunk
                if count >= size:
                    break
                self._cut(count, size)
            except UnavailableError as error:
                idle, cuts = (0 if count > begin else idle + 1), cuts + 1
                if error.where or idle >= self.limits.attempts or cuts > self.limits.cuts:
                    what = error.what if error.where else f"blob {digest} {error.what}"
                    raise UnavailableError(what, where=error.where or ref.registry, hint="try again") from error
            self._pause(max(1, idle))
        if count != size or f"sha256:{found.hexdigest()}" != digest:
            raise CorruptStateError(f"blob {digest} arrived changed ({count} of {size} bytes)", where=str(ref))

    def _part(self, ref: ImageReference, digest: str, begin: int) -> Generator[bytes, None, None]:
        """The blob from a byte on; a registry that knows no ranges sends all of it, whose start is dropped."""
        response = self._first(ref, f"blobs/{digest}", {"Range": f"bytes={begin}-"} if begin else {})
        try:
            skip = 0 if response.status == 206 else begin
            if response.status == 206:
                match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
                if not match or int(match[1]) != begin:
                    raise CorruptStateError(f"blob {digest}: the registry sent another range", where=str(ref))
            for chunk in self.transport.chunks(response):
                kept, skip = chunk[skip:], max(0, skip - len(chunk))
                if kept:
                    yield kept
        finally:
            response.close()

    def _first(self, ref: ImageReference, path: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        failures: list[BayplanError] = []
        for endpoint in self.endpoints(ref):
            try:
                return self._get(endpoint, f"{endpoint.base}/v2/{endpoint.repository}/{path}", headers, ref)
            except (NotFoundError, UnavailableError) as error:
                failures.append(error)
        # Where one place answered that it has no such image, that others cannot be reached is the lesser news.
        missing = [error for error in failures if isinstance(error, NotFoundError)]
        if missing and len(missing) < len(failures):
            other = next(error for error in reversed(failures) if not isinstance(error, NotFoundError))
            missing[0].hint += f"; {other.where or ref.registry} did not answer"
        raise (missing or failures[-1:])[0]

    def endpoints(self, ref: ImageReference) -> tuple[Endpoint, ...]:
        """Mirrors and the place itself, which comes last."""
        if self._tables is None:
            self._tables = mirrors.load(self._settings.registries_conf)
        return mirrors.endpoints(ref, self._tables)

    def _get(self, end: Endpoint, url: str, headers: Mapping[str, str], ref: ImageReference) -> BaseHTTPResponse:
        response = self.transport.request(end, "GET", url, Scope(end.repository), headers=headers)
        if response.status == 200 or (response.status == 206 and "Range" in headers):
            return response
        if response.status in (401, 403, 404):
            response.close()
            found = response.status == 404
            denied = "" if found else " or access is denied"
            hint = "check its name and tag" + ("" if found else f", or `bayplan login {end.host}`")
            raise NotFoundError(f"image {ref} does not exist{denied}", where=f"registry {end.host}", hint=hint)
        raise failure(response, str(ref), end.host)

    @staticmethod
    def _cut(count: int, size: int) -> None:
        raise UnavailableError(f"was cut after {count} of {size} bytes")

    def _pause(self, count: int) -> None:
        time.sleep(min(self.limits.first_wait_s * 2 ** (count - 1), self.limits.longest_wait_s))
