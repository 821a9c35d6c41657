"""What a registry is declared as: a project of one container, as a Compose file would say it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayplan.app import kept
from bayplan.bridge import registry_files as parts
from bayplan.bridge.rooms import Asked
from bayplan.errors import DeclarationError, NotFoundError
from bayplan.models import Container, Kind, Settings, Stack

SERVICE = "registry"
PROGRAM = "/usr/bin/docker-registry"
WRITTEN = {"config": f"{parts.FOLDER}/config.yml", "htpasswd": parts.HTPASSWD}
"""What is kept as secrets of this host, and where it is in the container."""
_FILES = {"htpasswd": "htpasswd", "tls_certificate": "tls.crt", "tls_key": "tls.key", "tls_client_ca": "client-ca.crt"}
"""Options that name a file of this host, and its name in the container."""


def texts(asked: Asked, key: bytes) -> dict[str, str]:
    """What of ``WRITTEN`` is written here; it may hold secrets."""
    texts = {"config": parts.config(asked.options, key)}
    if users := asked.options.get("users"):
        texts["htpasswd"] = parts.htpasswd(users, key)
    return texts


def declared(asked: Asked, name: str, texts: Mapping[str, str], context: Path | None, engine: str) -> dict[str, Any]:
    """As a Compose file for that engine would say it."""
    options = asked.options
    program = str(options.get("program") or PROGRAM) if context else SERVICE
    data, volumes = _storage(options.get("storage"))
    trusted = [f"{path}:{path}:ro" for path in parts.authorities()] if context and options.get("mirror") else []
    grants = {part: WRITTEN[part] for part in texts}
    grants |= {option: f"{parts.FOLDER}/{file}" for option, file in _FILES.items() if options.get(option)}
    sources = {part: {"content": text} for part, text in texts.items()}
    sources |= {option: {"file": str(options[option])} for option in grants if option not in texts}
    service = {
        "image": options.get("image") or image(name),
        "entrypoint": [program],
        "command": ["serve", WRITTEN["config"]],
        "ports": [{"target": parts.PORT, "published": str(port(asked)), "host_ip": address(asked)}],
        "volumes": [data, *trusted],
        "secrets": [{"source": part, "target": path, "mode": "0400"} for part, path in grants.items()],
        # Another engine puts no files into a read-only one; bound ones could not be read where its user 0 is another.
        "read_only": engine == "native",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "restart": "unless-stopped",
    }
    if context:
        service["build"] = {"context": str(context)}
    return {"name": name, "services": {SERVICE: service}, "secrets": sources, "volumes": volumes}


def stack(declared: Mapping[str, Any], name: str, texts: Mapping[str, str], settings: Settings) -> Stack:
    """The declaration; what was written here is found again after a reboot."""
    from bayplan.load.compose import load_text

    text = json.dumps(declared).replace("$", "$$")  # none of it is a variable
    stack = load_text(text, label="registry", project_directory=Path("/"), environment={}, settings=settings)
    files = {part: str(kept.path_of(Kind.SECRET, f"{name}-{part}", settings)) for part in texts}

    def kept_there(item: Container) -> Container:
        named = (one.model_copy(update={"file": files.get(one.source, one.file)}) for one in item.secrets)
        return item.model_copy(update={"secrets": tuple(named)})

    return stack.model_copy(update={"containers": tuple(map(kept_there, stack.containers))})


def _storage(given: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Its mount and the volumes that are declared for it: a directory of the host needs none."""
    named = str(given) if given else "data"
    if named.startswith("/"):
        return {"type": "bind", "source": named, "target": parts.DATA, "bind": {"create_host_path": False}}, {}
    return {"type": "volume", "source": "data", "target": parts.DATA}, {"data": {"name": named} if given else {}}


def refuse_contradictions(asked: Asked) -> None:
    """Raise before anything is done. DeclarationError, NotFoundError."""
    options, where = asked.options, f"registry {asked.text('name')}"
    if bool(options.get("tls_certificate")) != bool(options.get("tls_key")):
        raise DeclarationError("tls_certificate and tls_key belong together", where=where, hint="give both or neither")
    if options.get("tls_client_ca") and not options.get("tls_certificate"):
        raise DeclarationError("tls_client_ca needs tls_certificate and tls_key", where=where)
    for one, other in (("users", "htpasswd"), ("image", "program")):
        if options.get(one) and options.get(other):
            raise DeclarationError(f"{one} and {other} exclude each other", where=where)
    if (mirror := options.get("mirror")) is not None and not mirror.get("url"):
        raise DeclarationError("mirror has no url", where=where, hint="such as https://registry-1.docker.io")
    if not 0 < port(asked) <= 0xFFFF:
        raise DeclarationError(f"port {port(asked)} is none", where=where, hint="1 to 65535")
    for option in _FILES:
        if options.get(option) and not Path(str(options[option])).is_file():
            raise NotFoundError(f"{option} {options[option]} does not exist on the target", where=where)
    storage = str(options.get("storage") or "")
    if storage.startswith("/") and not Path(storage).is_dir():
        raise NotFoundError(f"storage {storage} is no directory of the target", where=where, hint="make it first")


def port(asked: Asked) -> int:
    """That of this host."""
    return int(asked.options.get("port") or parts.PORT)


def address(asked: Asked) -> str:
    """That of this host."""
    return str(asked.options.get("address") or "127.0.0.1")


def image(name: str) -> str:
    """The name of the image that is built for a registry."""
    return f"localhost/{name}/registry:host"
