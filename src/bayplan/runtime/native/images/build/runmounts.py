"""``RUN --mount`` as written (Dockerfile reference, "RUN --mount"): what a command sees and no layer holds."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bayplan.errors import NotFoundError
from bayplan.models import Build
from bayplan.models.types import ByteSize
from bayplan.runtime.dockerfile.instructions import Instruction
from bayplan.runtime.native.images.build.bases import Base
from bayplan.runtime.native.images.build.files import Entry, Files, content_key

SOCKETS = "/run/buildkit"
_OWNED = {"mode", "uid", "gid"}
_KEYS = {
    "bind": {"target", "source", "from", "rw"},
    "cache": {"id", "target", "source", "from", "sharing", "ro", *_OWNED},
    "tmpfs": {"target", "size"},
    "secret": {"id", "target", "env", "required", *_OWNED},
    "ssh": {"id", "target", "required", *_OWNED},
}
_SAME = {
    **{"dst": "target", "destination": "target", "src": "source"},
    **{"readwrite": "rw", "readonly": "ro"},
}
_FLAGS = ("rw", "ro", "required")
_MODES = {"cache": "755", "secret": "400", "ssh": "600"}


@dataclass(frozen=True)
class Mount:
    """One mount. ``target`` is empty for a secret that is a variable only; ``size`` in bytes, 0 for no limit."""

    kind: str
    target: str
    id: str = ""
    sharing: str = "shared"
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    size: int = 0
    env: str = ""
    source: str = ""
    """Path in what ``origin`` names."""
    origin: int | Base | None = None
    """A stage, an image, or the context."""
    writable: bool = True
    group: tuple[Entry, ...] = ()
    """The files of a bind from the context."""

    def material(self) -> list[Any]:
        """What decides the result of the command, but for what an origin holds. Secrets count by their name only."""
        kept = {name: value for name, value in vars(self).items() if name not in ("origin", "group")}
        return [sorted(kept.items()), content_key([self.group]) if self.group else ""]

    def place(self, origin_chain: str) -> str:
        """Name of a cache's directory: another owner, mode or first content is another cache, as with BuildKit."""
        first = [origin_chain, self.source] if origin_chain else []
        return hashlib.sha256(json.dumps([self.id, self.mode, self.uid, self.gid, *first]).encode()).hexdigest()


class Stage(Protocol):
    """What a mount may ask of the stage it stands in."""

    build: Build
    files: Files

    def expand(self, item: Instruction, text: str) -> str:
        """A word with its variables replaced. Raises ValueError."""

    def directory(self) -> str:
        """The working directory so far."""

    def source(self, item: Instruction, name: str) -> int | Base:
        """The stage or image of a ``from``. Raises DeclarationError, NotFoundError."""


def lower(item: Instruction, stage: Stage) -> tuple[Mount, ...]:
    """The mounts of a RUN, those above others first. Raises DeclarationError, NotFoundError, ValueError."""
    texts = [value for name, value in item.flags if name == "mount"]
    found = [_read(item, text, stage, number) for number, text in enumerate(texts)]
    # What stands on another mount is mounted after it.
    return tuple(sorted((one for one in found if one), key=lambda one: one.target.count("/")))


def _pairs(text: str) -> dict[str, str]:
    found = {}
    for part in text.split(","):
        key, sign, value = part.partition("=")
        name = _SAME.get(key.strip().lower(), key.strip().lower())
        found[name] = value if sign or name not in _FLAGS else "true"
    return found


def _read(item: Instruction, text: str, stage: Stage, number: int) -> Mount | None:
    given = {name: stage.expand(item, value) for name, value in _pairs(text).items()}
    kind = given.pop("type", "bind")
    if kind == "bind" and given.pop("ro", "true") == "false":
        given["rw"] = "true"
    if kind not in _KEYS or given.keys() - _KEYS[kind]:
        known = f"{kind} has {', '.join(sorted(_KEYS[kind]))}" if kind in _KEYS else f"types: {', '.join(_KEYS)}"
        raise item.wrong(f"--mount={text} is not understood", known)
    flags = {name: _flag(item, text, given.get(name, "false")) for name in _FLAGS}
    uid, gid, mode = (int(given.get(name, first), base) for name, first, base in _numbers(kind))
    if not (0 <= mode <= 0o7777 and 0 <= uid < 2**32 - 1 and 0 <= gid < 2**32 - 1):
        raise item.wrong(f"--mount={text}: mode, uid or gid is out of range")
    if given.get("sharing", "shared") not in ("shared", "locked", "private"):
        raise item.wrong(f"--mount={text}: sharing is shared, locked or private")
    own = Mount(kind, "", mode=mode, uid=uid, gid=gid, sharing=given.get("sharing", "shared"))
    if kind == "secret":
        return _secret(item, text, stage, replace(own, env=given.get("env", "")), given, required=flags["required"])
    if kind == "ssh":
        return _ssh(item, stage, own, given, number)
    own = replace(own, target=_target(item, text, stage, given.get("target", "")))
    if kind == "tmpfs":
        return replace(own, size=int(ByteSize.parse(given.get("size", "0"))))
    origin = stage.source(item, given["from"]) if given.get("from") else None
    source = posixpath.normpath("/" + given.get("source", "")).lstrip("/")
    if kind == "cache":
        writable = not flags["ro"]
        return replace(own, id=given.get("id") or own.target, source=source, origin=origin, writable=writable)
    group = stage.files.entries(source) if origin is None else ()
    if origin is None and not group:
        raise NotFoundError(f"RUN: {source} is not in the context", where=item.where, hint="see .dockerignore too")
    return replace(own, source=source, origin=origin, writable=flags["rw"], group=group)


def _secret(
    item: Instruction, text: str, stage: Stage, own: Mount, given: Mapping[str, str], *, required: bool
) -> Mount | None:
    name = given.get("id") or posixpath.basename(given.get("target", "")) or own.env
    if not name:
        raise item.wrong(f"--mount={text} names no secret", "give it an id")
    if not any(one.id == name and one.content is not None for one in stage.build.secrets):
        if required:
            hint = f"bayplan build --secret id={name},..., or build.secrets of the service"
            raise NotFoundError(f"RUN: secret {name} is not given to this build", where=item.where, hint=hint)
        return None
    target = given.get("target", "") or ("" if own.env else f"/run/secrets/{name}")
    return replace(own, id=name, target=_target(item, text, stage, target) if target else "")


def _ssh(item: Instruction, stage: Stage, own: Mount, given: Mapping[str, str], number: int) -> Mount | None:
    name = given.get("id") or "default"
    if name not in stage.build.ssh:
        if given.get("required") == "false":
            return None
        hint = f"bayplan build --ssh {name}, or build.ssh of the service; required=false does without"
        raise NotFoundError(f"RUN: no ssh agent {name} is given to this build", where=item.where, hint=hint)
    target = given.get("target") or f"{SOCKETS}/ssh_agent.{number}"
    return replace(own, id=name, target=_target(item, f"type=ssh,target={target}", stage, target))


def _target(item: Instruction, text: str, stage: Stage, given: str) -> str:
    target = posixpath.normpath(posixpath.join(stage.directory(), given))
    top = "/" + target.lstrip("/").split("/")[0] if given else "/"
    if top in ("/", "/proc", "/sys"):
        raise item.wrong(f"--mount={text}: its target must be a path other than /, and not in /proc or /sys")
    return target


def _flag(item: Instruction, text: str, value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0"):
        raise item.wrong(f"--mount={text}: {value!r} is neither true nor false")
    return value.lower() in ("true", "1")


def _numbers(kind: str) -> tuple[tuple[str, str, int], ...]:
    return ("uid", "0", 10), ("gid", "0", 10), ("mode", _MODES.get(kind, "755"), 8)
