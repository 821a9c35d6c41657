"""The files that stand for external secrets and configs on this host.

A swarm keeps its own (``runtime.swarm``); every other engine is given these when a stack names them as external.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bayplan.errors import DeclarationError, NotFoundError
from bayplan.models import Kind, Settings
from bayplan.models.types import ResourceName
from bayplan.system.files import atomic_write

MOST_BYTES = 1 << 20
_MODES = {Kind.SECRET: (0o700, 0o600), Kind.CONFIG: (0o755, 0o644)}


def root_of(kind: Kind, settings: Settings) -> Path:
    """The directory that holds them."""
    return settings.secrets_root if kind is Kind.SECRET else settings.configs_root


def path_of(kind: Kind, name: str, settings: Settings) -> Path:
    """The file of one. Raises DeclarationError for what cannot be its name."""
    try:
        TypeAdapter(ResourceName).validate_python(name)
    except ValidationError as error:
        raise DeclarationError(f"{name!r} is no name of a {kind}") from error
    return root_of(kind, settings) / name


def read(kind: Kind, name: str, settings: Settings) -> bytes | None:
    """What one holds; None when there is none. Raises DeclarationError when it may not be read."""
    path = path_of(kind, name, settings)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise _refused(error) from error


def source(path: Path) -> bytes:
    """A file that one is made from, as far as it may be kept. Raises NotFoundError."""
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise NotFoundError(f"cannot be read: {error.strerror}", where=str(path)) from error


def check(content: bytes, where: str) -> None:
    """Raise DeclarationError for more than is kept."""
    if len(content) > MOST_BYTES:
        raise DeclarationError(f"more than {MOST_BYTES >> 20} MiB", where=where, hint="use a volume")


def write(kind: Kind, name: str, content: bytes, settings: Settings) -> Path:
    """Keep one, whole or not at all, over what there was; returns its file."""
    path, (folder_mode, mode) = path_of(kind, name, settings), _MODES[kind]
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=folder_mode)
        atomic_write(path, content, mode=mode)
    except PermissionError as error:
        raise _refused(error) from error
    return path


def _refused(error: PermissionError) -> DeclarationError:
    return DeclarationError(f"{error.strerror}", where=str(error.filename), hint="run as root")
