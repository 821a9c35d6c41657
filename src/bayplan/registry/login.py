"""Credentials checked at a registry, then kept where container tools look: containers-auth.json(5) or a helper."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from bayplan.errors import AccessDeniedError, CorruptStateError, DeclarationError
from bayplan.models.reference import ImageReference
from bayplan.models.settings import Settings
from bayplan.registry import helpers
from bayplan.registry.auth import Credentials, user_and_password
from bayplan.registry.client import RegistryClient
from bayplan.registry.failures import failure
from bayplan.registry.tokens import Scope
from bayplan.system.files import atomic_write

_REGISTRY = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)(?::\d{1,5})?")


def login(settings: Settings, registry: str, user: str, password: str) -> str:
    """Keep credentials that the registry accepts; returns where. Raises AccessDeniedError; nothing is kept then."""
    check(settings, registry, user, password)
    path = _file()
    document = _read(path)
    helper = (document.get("credHelpers") or {}).get(registry)
    if helper:
        helpers.store(str(helper), registry, user, password)
        return f"docker-credential-{helper}"
    document.setdefault("auths", {})[registry] = {"auth": Credentials(user, password).encoded}
    _write(path, document)
    return str(path)


def check(settings: Settings, registry: str, user: str, password: str) -> None:
    """Ask the registry whether it accepts them. Raises AccessDeniedError, UnavailableError, DeclarationError."""
    _check(registry)
    if not user or ":" in user or not user.isprintable() or not password:
        raise DeclarationError("a user has no colon, and a password is not empty", where=f"registry {registry}")
    client = RegistryClient(settings)
    client.transport.tokens.given = Credentials(user, password)
    end = client.endpoints(ImageReference(registry, "login"))[-1]
    response = client.transport.request(end, "GET", f"{end.base}/v2/", Scope(""))
    if response.status == 401:
        response.close()
        raise AccessDeniedError("the registry refuses user or password", where=f"registry {registry}")
    if response.status != 200:
        raise failure(response, "login", end.host)
    response.close()


def kept(registry: str) -> tuple[str, str] | None:
    """User and password that ``login`` has kept; None when it has not. Raises CorruptStateError."""
    _check(registry)
    document = _read(_file())
    helper = (document.get("credHelpers") or {}).get(registry)
    if helper:
        return helpers.get(str(helper), registry)
    return user_and_password((document.get("auths") or {}).get(registry))


def logout(registry: str) -> bool:
    """Forget what ``login`` kept; whether there was something."""
    _check(registry)
    path = _file()
    document = _read(path)
    helper = (document.get("credHelpers") or {}).get(registry)
    if helper:
        helpers.erase(str(helper), registry)
        return True
    if document.get("auths", {}).pop(registry, None) is None:
        return False
    _write(path, document)
    return True


def _check(registry: str) -> None:
    if not _REGISTRY.fullmatch(registry):
        raise DeclarationError(f"{registry!r} is no registry host", hint="such as registry.example:5000")


def _file() -> Path:
    named = os.environ.get("REGISTRY_AUTH_FILE")
    home = Path(os.environ.get("HOME") or "/root")
    return Path(named) if named else home / ".config/containers/auth.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise CorruptStateError("credentials file is not JSON", where=str(path), hint="mend or remove it") from error
    parts = (found, found.get("auths", {}), found.get("credHelpers", {})) if isinstance(found, dict) else (None,)
    if not all(isinstance(part, dict) for part in parts):
        raise CorruptStateError("credentials file is malformed", where=str(path), hint="mend or remove it")
    return dict(found)


def _write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    atomic_write(path, json.dumps(document, indent=1).encode(), mode=0o600)
