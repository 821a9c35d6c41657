"""A volume's content to a tar file of the host and back."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, BinaryIO, cast

from bayplan import app
from bayplan.bridge import trees
from bayplan.bridge.answers import differing
from bayplan.bridge.rooms import Asked, container_ids
from bayplan.errors import ConflictError, DeclarationError, NotFoundError
from bayplan.runtime.protocol import LIVE, Runtime, Scope


def volume_backup(asked: Asked) -> dict[str, Any]:
    """Write the archive, unless the one that is there holds the same already."""
    volume, path = asked.text("volume"), _path(asked)
    if not path.parent.is_dir():
        raise NotFoundError(f"directory {path.parent} does not exist", where="volume_backup", hint="make it first")
    with asked.opened() as (runtime, _):
        _users(runtime, volume)
        before = trees.read(path) if path.exists() else None
        now = _content(runtime, volume)
        changed = before != now
        if changed and not asked.check:
            app.export_volume(runtime, volume, path)
    counts = ("" if before is None else f"{path}: {_said(before)}\n", f"{path}: {_said(now)}\n")
    return differing(changed, *counts, volume=volume, path=str(path), entries=len(now))


def volume_restore(asked: Asked) -> dict[str, Any]:
    """Fill the volume from the archive, unless it holds the same already."""
    volume, path, replace = asked.text("volume"), _path(asked), bool(asked.options.get("replace"))
    wanted = trees.read(path)
    with asked.opened() as (runtime, _):
        users = _users(runtime, volume)
        now = _content(runtime, volume)
        changed = now != wanted
        if changed:
            _refuse(runtime, volume, users, full=bool(now.keys() - {""}) and not replace)
        if changed and not asked.check:
            app.import_volume(runtime, volume, path, replace=replace)
    counts = (f"volume {volume}: {_said(now)}\n", f"volume {volume}: {_said(wanted)}\n")
    return differing(changed, *counts, volume=volume, path=str(path), entries=len(wanted))


def _users(runtime: Runtime, volume: str) -> tuple[str, ...]:
    for item, users in runtime.volumes_there():
        if item.id.name == volume:
            return users
    raise NotFoundError(f"volume {volume} does not exist", hint="make it by the module volume first")


def _refuse(runtime: Runtime, volume: str, users: tuple[str, ...], *, full: bool) -> None:
    """As the import itself would, so that a check says the same."""
    there = runtime.observe(Scope(names=container_ids(users))).resources.values()
    live = sorted(item.id.name for item in there if item.status.state in LIVE)
    if live:
        raise ConflictError(f"volume {volume} is used by running containers {', '.join(live)}", hint="stop them first")
    if full:
        raise ConflictError(f"volume {volume} is not empty", hint="replace: true takes the archive instead")


def _content(runtime: Runtime, volume: str) -> dict[str, trees.Entry]:
    with tempfile.TemporaryFile() as file:
        runtime.export_volume(volume, cast("BinaryIO", file))
        file.seek(0)
        return trees.entries(file)


def _path(asked: Asked) -> Path:
    path = Path(asked.text("path"))
    if not path.is_absolute():
        raise DeclarationError(f"path {str(path)!r} must be absolute", where=asked.verb)
    return path


def _said(found: dict[str, trees.Entry]) -> str:
    import hashlib

    rows = sorted((name, item.kind, item.mode, item.owner, item.content) for name, item in found.items())
    return f"{len(found)} entries, {hashlib.sha256(repr(rows).encode()).hexdigest()[:12]}"
