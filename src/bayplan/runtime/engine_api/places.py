"""Where an engine answers: a socket of this host, another host's by ssh, TCP with TLS, a Docker context.

What names it, the first that is there: the settings, then the environment as the engines' own commands read it
(DOCKER_HOST, DOCKER_CONTEXT; CONTAINER_HOST), then the context that `docker context use` chose, then the usual socket.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bayplan.errors import DeclarationError, NotFoundError, UnsupportedError
from bayplan.models import Settings
from bayplan.runtime.engine_api.transport import Certificates
from bayplan.system.probes import probe

_SOCKETS = {"docker": "/var/run/docker.sock", "podman": "/run/podman/podman.sock"}
_OWN_SOCKETS = {"docker": "docker.sock", "podman": "podman/podman.sock"}
_VARIABLES = {"docker": "DOCKER_HOST", "podman": "CONTAINER_HOST"}


@dataclass(frozen=True)
class Place:
    """An engine's address (``unix://``, ``ssh://``, ``tcp://``), who named it, and its TLS, if it has some."""

    address: str
    named_by: str
    tls: Certificates | None = None

    @property
    def scheme(self) -> str:
        """How it is reached."""
        return urlsplit(self.address).scheme

    @property
    def socket(self) -> str:
        """Path of its socket: on this host, or on the other one of ``ssh://``; empty for TCP."""
        return urlsplit(self.address).path if self.scheme in ("unix", "ssh") else ""


def find(settings: Settings, kind: str, environ: Mapping[str, str] | None = None) -> Place:
    """Where the engine of a kind (docker, podman) is. Nothing is asked of it yet.

    Raises DeclarationError for an address that is none, NotFoundError for a context that is not there,
    UnsupportedError for TCP to another host without TLS.
    """
    environ = os.environ if environ is None else environ
    if settings.engine_address:
        return _checked(Place(settings.engine_address, "setting engine_address", _tls(settings.engine_tls)), kind)
    if settings.engine_context:
        return _checked(_context(settings.engine_context, "setting engine_context"), kind)
    variable = _VARIABLES[kind]
    if environ.get(variable):
        certificates = environ.get("DOCKER_CERT_PATH") if environ.get("DOCKER_TLS_VERIFY") else None
        tls = _tls(settings.engine_tls or (Path(certificates) if certificates else None))
        return _checked(Place(environ[variable], f"variable {variable}", tls), kind)
    if kind == "docker" and (named := _chosen_context(environ)):
        return _checked(_context(*named), kind)
    return Place(f"unix://{_usual_socket(kind, environ)}", "default")


def _usual_socket(kind: str, environ: Mapping[str, str]) -> str:
    """The system's socket, or that of a rootless engine for a user who has one."""
    own = Path(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}", _OWN_SOCKETS[kind])
    return str(own) if os.geteuid() != 0 and probe(own).exists() else _SOCKETS[kind]


def _checked(place: Place, kind: str) -> Place:
    where = place.named_by
    parts = urlsplit(place.address)
    if parts.scheme == "unix" and parts.path.startswith("/"):
        return place
    if parts.scheme == "ssh" and parts.hostname:
        path = parts.path.rstrip("/") or _SOCKETS[kind]
        return Place(place.address.removesuffix(parts.path) + path, where)
    if parts.scheme in ("tcp", "http", "https") and parts.hostname:
        if place.tls is None and not _is_loopback(parts.hostname):
            raise UnsupportedError(
                f"{place.address} without TLS would give {parts.hostname} away to whoever reaches it",
                where=where,
                hint="use ssh://, or give engine_tls the directory of ca.pem, cert.pem and key.pem",
            )
        scheme = "https" if place.tls else "http"
        return Place(f"{scheme}://{parts.netloc}", where, place.tls)
    raise DeclarationError(
        f"{place.address!r} is no address of an engine",
        where=where,
        hint="write unix:///path, ssh://[user@]host[:port][/path/of/socket] or tcp://host:port",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(directory: Path | None, *, verify: bool = True) -> Certificates | None:
    if directory is None:
        return None
    found = [directory / name for name in ("ca.pem", "cert.pem", "key.pem")]
    for path in found:
        if not path.is_file():
            raise NotFoundError(f"{path} does not exist", where="engine_tls", hint="it has ca.pem, cert.pem, key.pem")
    ca, certificate, key = found
    return Certificates(ca, certificate, key, verify)


def _chosen_context(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Name of the context that the docker command would use, and who chose it; None for its own default."""
    name = environ.get("DOCKER_CONTEXT")
    by = "variable DOCKER_CONTEXT" if name else "`docker context use`"
    name = name or _document(_configuration() / "config.json").get("currentContext")
    return (name, by) if name and name != "default" else None


def _context(name: str, named_by: str) -> Place:
    """What docker keeps of a context (docker/cli, cli/context/store), by a hash of its name."""
    if name == "default":
        return Place(f"unix://{_SOCKETS['docker']}", named_by)
    key, top = hashlib.sha256(name.encode()).hexdigest(), _configuration() / "contexts"
    found = (_document(top / "meta" / key / "meta.json").get("Endpoints") or {}).get("docker") or {}
    if not found.get("Host"):
        raise NotFoundError(f"Docker context {name} does not exist", where=named_by, hint="see `docker context ls`")
    files = top / "tls" / key / "docker"
    tls = _tls(files, verify=not found.get("SkipTLSVerify")) if probe(files).is_dir() else None
    return Place(str(found["Host"]), f"{named_by}: context {name}", tls)


def _configuration() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def _document(path: Path) -> dict[str, Any]:
    """A file of Docker's own; empty where it is not there. Raises DeclarationError for one that is not understood."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DeclarationError(f"it cannot be read: {error}", where=str(path)) from error
    return found if isinstance(found, dict) else {}
