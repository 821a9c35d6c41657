"""Whether an image may be taken at all: containers-policy.json(5).

``reject`` and ``insecureAcceptAnything`` are honoured. What asks for a signature is refused, as none is checked here:
better no image than one that the policy would not have let in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from bayplan.errors import DeclarationError, UnsupportedError
from bayplan.models.reference import ImageReference

SYSTEM_POLICY = Path("/etc/containers/policy.json")
_SIGNED = ("signedBy", "sigstoreSigned")


def check_docker(ref: ImageReference, file: Path | None = None) -> None:
    """Refuse an image of a registry. Raises UnsupportedError naming the file and its scope, DeclarationError."""
    _check("docker", list(_docker_scopes(ref)), f"image {ref.familiar}", file)


def check_path(transport: str, path: Path | None, file: Path | None = None) -> None:
    """Refuse an archive or layout at a path (transports ``oci``, ``oci-archive``, ``docker-archive``, ``tarball``).

    None is a stream, which has no other scope than the whole transport's.
    """
    if path is None:
        _check(transport, [""], "standard input", file)
        return
    resolved = PurePosixPath(path.resolve())
    scopes = [str(item) for item in (resolved, *resolved.parents) if str(item) != "/"]
    _check(transport, [*scopes, ""], str(path), file)


def _docker_scopes(ref: ImageReference) -> Iterator[str]:
    """Most exact first: the full name, its repository and what lies above, the host, wildcards of its domains."""
    yield f"{ref.name}@{ref.digest}" if ref.digest else f"{ref.name}:{ref.tag}"
    if ref.digest and ref.tag:
        yield f"{ref.name}:{ref.tag}"
    parts = ref.name.split("/")
    for count in range(len(parts), 0, -1):
        yield "/".join(parts[:count])
    labels = ref.registry.partition(":")[0].split(".")
    for start in range(1, len(labels)):
        yield "*." + ".".join(labels[start:])
    yield ""


def _check(transport: str, scopes: Sequence[str], what: str, file: Path | None) -> None:
    path = file or _file()
    if path is None:
        return
    requirements, scope = _requirements(_read(path), transport, scopes, path)
    for item in requirements:
        kind = item.get("type") if isinstance(item, dict) else None
        where = f"{path}, {scope}"
        if kind == "reject":
            raise UnsupportedError(
                f"{what} is rejected by the policy", where=where, hint="see containers-policy.json(5)"
            )
        if kind in _SIGNED:
            raise UnsupportedError(
                f"the policy wants a signature ({kind}) of {what}, and this version checks none",
                where=where,
                hint="give this scope insecureAcceptAnything, or bring the image here by a tool that checks signatures",
            )
        if kind != "insecureAcceptAnything":
            raise DeclarationError(f"unknown type {kind!r} in the policy", where=where)


def _requirements(policy: dict[str, Any], transport: str, scopes: Sequence[str], path: Path) -> tuple[list[Any], str]:
    transports = policy.get("transports") or {}
    own = transports.get(transport) if isinstance(transports, dict) else None
    known: dict[str, Any] = own if isinstance(own, dict) else {}
    for scope in scopes:
        if scope in known:
            return _list(known[scope], f"transports.{transport}.{scope or '(all)'}", path)
    return _list(policy.get("default"), "default", path)


def _list(value: Any, scope: str, path: Path) -> tuple[list[Any], str]:
    if not isinstance(value, list) or not value:
        raise DeclarationError(f"{scope} holds no requirements", where=str(path), hint="see containers-policy.json(5)")
    return value, scope


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise DeclarationError(f"the policy cannot be read: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        raise DeclarationError(f"the policy is not JSON: {error}", where=str(path)) from error
    if not isinstance(found, dict):
        raise DeclarationError("the policy is not an object", where=str(path))
    return found


def _file() -> Path | None:
    """The user's file, else the system's; without one everything is accepted."""
    home = Path(os.environ.get("HOME") or "/root")
    return next((path for path in (home / ".config/containers/policy.json", SYSTEM_POLICY) if path.is_file()), None)
