"""``bayplan.lock``: digests of all images a declaration names, in a text whose changes are small and easy to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from bayplan.errors import DeclarationError, Location, UnsupportedError
from bayplan.load.compose.nodes import Node
from bayplan.load.compose.yaml_text import parse
from bayplan.models import Digest, ImageReference, Model, Pin
from bayplan.system.files import atomic_write

VERSION = 1
_HEAD = "# Written by `bayplan lock`. Commit it beside the declaration; docs/parity.md says what it holds.\n"
_AGAIN = "make it anew with `bayplan lock --upgrade`, or take it from version control"
_MAX_BYTES = 16 << 20


class LockedBuild(Model):
    """What an image is built from. The digests of ``bases`` are among the lock's images."""

    inputs: str = Field(
        "", pattern=r"^(sha256:[0-9a-f]{64})?$", description="Digest of the files; none of a repository."
    )
    bases: tuple[str, ...] = ()
    commits: dict[str, str] = Field(default_factory=dict, description="Address of a Git repository to its commit.")
    digests: dict[str, Digest] = Field(
        default_factory=dict, description="Platform to the digest it came out with, where it was built when locked."
    )


class Lock(Model):
    """All of it. Keys are full image references."""

    version: int = VERSION
    images: dict[str, Pin] = Field(default_factory=dict)
    builds: dict[str, LockedBuild] = Field(default_factory=dict)

    def text(self) -> str:
        """As it is written: sorted, one value a line."""
        rows: dict[str, Any] = {
            "images": {name: pin.model_dump(exclude={"ids"}) for name, pin in self.images.items()},
            "builds": {name: made.model_dump(mode="json", exclude_defaults=True) for name, made in self.builds.items()},
        }
        filled = {name: value for name, value in rows.items() if value}
        rest = yaml.safe_dump(filled, sort_keys=True, width=200, default_flow_style=False) if filled else ""
        return f"{_HEAD}version: {self.version}\n{rest}"


def read(path: Path) -> Lock:
    """Read one. Raises DeclarationError with the line for what is none, UnsupportedError for a newer one."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DeclarationError("this is no lock: it is too large", where=str(path), hint=_AGAIN)
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(f"the lock cannot be read: {error}", where=str(path), hint=_AGAIN) from error
    return parsed(text, str(path))


def parsed(text: str, label: str) -> Lock:
    """The lock of a text. Raises as ``read``."""
    documents = parse(text, label)
    data = _plain(documents[0]) if len(documents) == 1 else None
    version = data.get("version") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(version, int):
        raise DeclarationError("this is no lock: it has no version", where=label, hint=_AGAIN)
    if version > VERSION:
        what = f"this lock has version {version}, and this bayplan reads up to {VERSION}"
        raise UnsupportedError(what, where=label, hint="upgrade bayplan")
    try:
        found = Lock.model_validate(data)
        for name in (*found.images, *found.builds):
            if str(ImageReference.parse(name)) != name:
                raise ValueError(f"{name!r} is no full image reference")  # noqa: TRY301 - one message for all
    except ValidationError as error:
        first = error.errors()[0]
        place = tuple(str(part) for part in first["loc"])
        at = _place(documents[0], place, label)
        raise DeclarationError(
            f"the lock is damaged: {'.'.join(place)}: {first['msg']}", where=at, hint=_AGAIN
        ) from error
    except ValueError as error:
        raise DeclarationError(f"the lock is damaged: {error}", where=label, hint=_AGAIN) from error
    return found


def write(path: Path, lock: Lock) -> None:
    """Put it in place of the earlier one."""
    atomic_write(path, lock.text().encode(), mode=0o644)


def _plain(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {key: _plain(value) for key, value in node.value.items()}
    return [_plain(item) for item in node.value] if isinstance(node.value, list) else node.value


def _place(node: Node, path: tuple[str, ...], label: str) -> Location:
    """The line of a value, or of the innermost map that was there."""
    at = node.at
    for part in path:
        found = node.get(part)
        if found is None:
            break
        node, at = found, node.keys.get(part, found.at)
    return at if at.file else Location(label)
