"""What volumes hold, as archives."""

from __future__ import annotations

from pathlib import Path

from bayplan.errors import NotFoundError
from bayplan.runtime.protocol import Runtime


def export_volume(runtime: Runtime, name: str, path: Path) -> None:
    """Write a volume's content as a tar file, which has its name when it is whole."""
    aside = path.with_name(f".{path.name}.part")
    try:
        with aside.open("wb") as file:
            runtime.export_volume(name, file)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def import_volume(runtime: Runtime, name: str, archive: Path, *, replace: bool) -> None:
    """Fill a volume from a tar file, all of it or nothing. Raises NotFoundError, ConflictError, CorruptStateError."""
    try:
        file = archive.open("rb")
    except OSError as error:
        raise NotFoundError(f"{archive} cannot be read: {error.strerror}") from error
    with file, runtime.lock(f"import into volume {name}"):
        runtime.import_volume(name, file, replace=replace)
