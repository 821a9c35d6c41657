"""Credentials and challenges: WWW-Authenticate (RFC 9110, 11.6.1), Docker's config.json, containers-auth.json(5)."""

from __future__ import annotations

import base64
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayplan.registry import helpers

_PARAMETER = re.compile(r'[\s,]*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCHEME = re.compile(r"[\s,]*([A-Za-z][A-Za-z0-9_-]*)(?=\s|,|$)")
_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "docker.io")


@dataclass(frozen=True)
class Credentials:
    """A user and a password, or an identity token (``password`` with an empty ``user``). Never printed."""

    user: str
    password: str = field(repr=False)

    @property
    def encoded(self) -> str:
        """As files of credentials have it (``auth``)."""
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    @property
    def basic(self) -> str:
        """Value of an Authorization header."""
        return f"Basic {self.encoded}"


@dataclass(frozen=True)
class Challenge:
    """One challenge: scheme in lower case and its parameters."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Read a WWW-Authenticate header; what is malformed ends the reading."""
    found: list[Challenge] = []
    at = 0
    while at < len(header):
        if found and (match := _PARAMETER.match(header, at)):
            quoted, plain = match.group(2), match.group(3)
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            found[-1].parameters[match.group(1).lower()] = value
        elif match := _SCHEME.match(header, at):
            found.append(Challenge(match.group(1).lower(), {}))
        else:
            break
        at = match.end()
    return tuple(found)


def credentials_for(registry: str, repository: str) -> Credentials | None:
    """The most exact entry of the first file that has one; None means anonymous. Unreadable files are skipped.

    In each file a helper of the registry (``credHelpers``) comes first, then its ``auths``, then ``credsStore``.
    """
    for path in _files():
        try:
            document = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        found = _of_file(document, registry, repository) if isinstance(document, dict) else None
        if found:
            return found
    return None


def _of_file(document: dict[str, Any], registry: str, repository: str) -> Credentials | None:
    own = document.get("credHelpers")
    for key in _keys(registry, repository) if isinstance(own, dict) else ():
        if isinstance(own, dict) and own.get(key) and (found := _of_helper(str(own[key]), key)):
            return found
    auths = document.get("auths")
    for key in _keys(registry, repository):
        if isinstance(auths, dict) and (found := _entry(auths.get(key))):
            return found
    if document.get("credsStore"):
        server = _HUB_KEYS[0] if registry == "docker.io" else registry
        return _of_helper(str(document["credsStore"]), server)
    return None


def user_and_password(raw: Any) -> tuple[str, str] | None:
    """Those of one entry of ``auths``; None for one that has none."""
    found = _entry(raw)
    return (found.user, found.password) if found else None


def _of_helper(name: str, server: str) -> Credentials | None:
    found = helpers.get(name, server)
    if found is None:
        return None
    user, secret = found
    return Credentials("" if user == helpers.TOKEN_USER else user, secret)


def _files() -> list[Path]:
    home = Path(os.environ.get("HOME") or "/root")
    run = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    named = os.environ.get("REGISTRY_AUTH_FILE")
    docker = Path(os.environ.get("DOCKER_CONFIG") or home / ".docker")
    files = [Path(named)] if named else []
    files += [Path(run) / "containers/auth.json", home / ".config/containers/auth.json", docker / "config.json"]
    return files


def _keys(registry: str, repository: str) -> list[str]:
    parts = repository.split("/")
    keys = ["/".join([registry, *parts[:count]]) for count in range(len(parts), -1, -1)]
    keys += [f"https://{registry}", f"https://{registry}/v1/", f"https://{registry}/v2/"]
    return keys + list(_HUB_KEYS if registry == "docker.io" else ())


def _entry(raw: Any) -> Credentials | None:
    if not isinstance(raw, dict):
        return None
    if token := raw.get("identitytoken"):
        return Credentials("", str(token))
    if raw.get("username"):
        return Credentials(str(raw["username"]), str(raw.get("password", "")))
    try:
        user, colon, password = base64.b64decode(raw.get("auth") or "").decode().partition(":")
    except ValueError:
        return None
    return Credentials(user, password.rstrip("\0")) if colon else None
