"""What a registry has under a name, asked through the engine, with the credentials of this user."""

from __future__ import annotations

import base64
import json
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from bayplan.errors import NotFoundError
from bayplan.models import ImageReference, Settings
from bayplan.registry import platforms
from bayplan.registry.auth import credentials_for
from bayplan.runtime.engine_api.client import EngineClient
from bayplan.runtime.engine_api.images.transfer import told_of_registry

if TYPE_CHECKING:
    from bayplan.registry.client import RegistryClient


class Remote(Protocol):
    """Asks registries."""

    def digest(self, reference: ImageReference, platform: str | None) -> str:
        """The digest to pull by. Raises NotFoundError, AccessDeniedError, UnavailableError."""


class Distribution:
    """By the engine: it may reach what this host does not, and knows the mirrors it pulls from (DistributionInspect).

    For an image of several platforms the digest is that of its index.
    """

    def __init__(self, client: EngineClient) -> None:
        self._client = client

    def digest(self, reference: ImageReference, platform: str | None) -> str:
        """By one request."""
        with told_of_registry(f"image {reference.familiar}"):
            answer = self._client.streamed("GET", f"/distribution/{reference}/json", headers=header(reference))
            found: dict[str, Any] = json.loads(b"".join(answer))
        offered = [item for item in found.get("Platforms") or () if isinstance(item, dict)]
        if platform is not None and offered and not any(_fits(item, platform) for item in offered):
            there = sorted({"/".join(filter(None, (item.get("os"), item.get("architecture")))) for item in offered})
            raise NotFoundError(
                f"image {reference.familiar} has no manifest for {platform}",
                where=reference.registry,
                hint=f"it has {', '.join(there)}",
            )
        return str(found["Descriptor"]["digest"])


class Direct:
    """From this host, for an engine that hands no such question on: by the same registries.conf(5) as the native core.

    The digest is that of the platform's manifest.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()

    @cached_property
    def _registries(self) -> RegistryClient:
        from bayplan.registry.client import RegistryClient

        return RegistryClient(self._settings)

    def digest(self, reference: ImageReference, platform: str | None) -> str:
        """By reading its manifest."""
        with self._lock:
            client = self._registries
        return client.select(reference, platform)[0]


def _fits(item: dict[str, Any], platform: str) -> bool:
    parts = (str(item.get("os")), str(item.get("architecture")), str(item.get("variant") or ""))
    return platforms.suits(*parts, platform)


def credentials(reference: ImageReference) -> dict[str, str] | None:
    """What the engine is given for one registry (AuthConfig); None for nobody. Read anew: a login may come between."""
    found = credentials_for(reference.registry, reference.repository)
    if found is None:
        return None
    server = "https://index.docker.io/v1/" if reference.registry == "docker.io" else reference.registry
    if not found.user:
        return {"identitytoken": found.password, "serveraddress": server}
    return {"username": found.user, "password": found.password, "serveraddress": server}


def header(reference: ImageReference) -> dict[str, str]:
    """``X-Registry-Auth``: base64url of the JSON (Engine API, "Authentication")."""
    text = json.dumps(credentials(reference) or {}).encode()
    return {"X-Registry-Auth": base64.urlsafe_b64encode(text).decode()}
