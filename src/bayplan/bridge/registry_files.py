"""What a registry is given: its configuration, who may use it, and the image of this host's own program."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bayplan.errors import DeclarationError, NotFoundError
from bayplan.system import programs
from bayplan.system.passwords import bcrypt

DATA = "/var/lib/registry"
FOLDER = "/etc/distribution"
HTPASSWD = f"{FOLDER}/htpasswd"
PORT = 5000
_AUTHORITIES = ((Path("/etc/ssl/certs"), "ca-certificates.crt"), (Path("/etc/pki/ca-trust/extracted/pem"), "."))
"""Where distributions keep the certificates that they trust, and what is in there (crypto/x509, root_linux.go)."""


def config(options: Mapping[str, Any], key: bytes) -> str:
    """The text of its file (distribution.github.io, "Configuring a registry"); JSON is YAML too."""
    storage: dict[str, Any] = {
        "filesystem": {"rootdirectory": DATA},
        "cache": {"blobdescriptor": "inmemory"},
        "delete": {"enabled": options.get("allow_delete") is not False},
    }
    if options.get("read_only"):
        storage["maintenance"] = {"readonly": {"enabled": True}}
    made: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": options.get("log_level") or "info"},
        "storage": storage,
        # Uploads that were begun before a restart go on after it.
        "http": {"addr": f":{PORT}", "secret": hmac.new(key, b"registry http", "sha256").hexdigest()},
        "health": {"storagedriver": {"enabled": True, "interval": "10s", "threshold": 3}},
    }
    if options.get("tls_certificate"):
        made["http"]["tls"] = {"certificate": f"{FOLDER}/tls.crt", "key": f"{FOLDER}/tls.key"}
        if options.get("tls_client_ca"):
            made["http"]["tls"]["clientcas"] = [f"{FOLDER}/client-ca.crt"]
    if options.get("users") or options.get("htpasswd"):
        made["auth"] = {"htpasswd": {"realm": "registry", "path": HTPASSWD}}
    if mirror := options.get("mirror"):
        named = {"remoteurl": mirror.get("url"), "username": mirror.get("username"), "password": mirror.get("password")}
        made["proxy"] = {name: value for name, value in named.items() if value is not None}
    return json.dumps(_merged(made, options.get("config") or {}), indent=1)


def htpasswd(users: Mapping[str, Any], key: bytes) -> str:
    """A line for each user; the salts come of the key, so that the same users are the same file. DeclarationError."""
    lines = []
    for user, password in sorted(users.items()):
        if not user or ":" in user or not user.isprintable():
            raise DeclarationError(f"users: {user!r} is no name: it is printable and has no colon", where="registry")
        try:
            said = str(password).encode()
            salt = hmac.new(key, b"\0".join((b"registry user", user.encode(), said)), "sha256").digest()[:16]
            lines.append(f"{user}:{bcrypt(said, salt)}\n")
        except ValueError as error:
            raise DeclarationError(f"users: that of {user}: {error}", where="registry") from error
    return "".join(lines)


def image_of(program: Path) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """The files from which the image of a program is built, as ``sent.Sent`` takes them, and their contents.

    Raises NotFoundError, with what to do, when it is not installed.
    """
    if not program.is_file():
        raise NotFoundError(
            f"{program} is not installed on the target", where="registry", hint="install docker-registry, or name image"
        )
    text = f'FROM scratch\nCOPY root/ /\nENTRYPOINT ["{program}"]\n'
    placed = {"Dockerfile": text.encode()}
    placed |= {f"root{path}": path.read_bytes() for path in (program, *programs.libraries(program))}
    digests = {path: hashlib.sha256(data).hexdigest() for path, data in placed.items()}
    rows = [{"path": path, "mode": 0o755, "sha256": digest} for path, digest in digests.items()]
    return rows, {digest: placed[path] for path, digest in digests.items()}


def authorities() -> Iterator[str]:
    """The directory of the certificates that this host trusts, for an image that has none."""
    for folder, name in _AUTHORITIES:
        if (folder / name).exists():
            yield str(folder)
            return


def _merged(below: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """One map over another at every depth; null takes a key away."""
    made = dict(below)
    for name, value in over.items():
        inner = made.get(name)
        if value is None:
            made.pop(name, None)
        else:
            made[name] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return made
