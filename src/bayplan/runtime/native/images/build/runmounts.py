"""``RUN --mount`` as written: caches and memory (Dockerfile reference, "RUN --mount")."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Callable
from dataclasses import dataclass

from bayplan.models.types import ByteSize
from bayplan.runtime.native.images.build.dockerfile import Instruction

_LATER = ("bind", "secret", "ssh")
_KEYS = {"cache": {"id", "target", "sharing", "mode", "uid", "gid"}, "tmpfs": {"target", "size"}}
_SAME = {"dst": "target", "destination": "target"}


@dataclass(frozen=True)
class Mount:
    """A directory that a command sees and no layer holds. ``size`` in bytes, 0 for no limit of its own."""

    kind: str
    target: str
    id: str = ""
    locked: bool = False
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    size: int = 0

    @property
    def place(self) -> str:
        """Name of a cache's directory: another owner or mode is another cache, as with BuildKit."""
        return hashlib.sha256(json.dumps([self.id, self.mode, self.uid, self.gid]).encode()).hexdigest()


def read(item: Instruction, text: str, directory: str, expand: Callable[[str], str]) -> Mount:
    """One ``--mount=``. Raises DeclarationError, NotBuiltYetError, ValueError."""
    given = {}
    for part in text.split(","):
        key, _, value = part.partition("=")
        given[_SAME.get(key.strip().lower(), key.strip().lower())] = expand(value)
    kind = given.pop("type", "bind")
    if kind in _LATER or given.get("sharing") == "private" or {"from", "source"} & given.keys():
        raise item.later(f"--mount={text}", "built are type=cache and type=tmpfs, without from and source")
    if kind not in _KEYS or given.keys() - _KEYS[kind]:
        raise item.wrong(f"--mount={text} is not understood", f"{kind} has {', '.join(sorted(_KEYS.get(kind, ())))}")
    target = posixpath.normpath(posixpath.join(directory, given.get("target", "")))
    top = "/" + target.split("/")[1] if given.get("target") else "/"
    if top in ("/", "/proc", "/sys"):
        raise item.wrong(f"--mount={text}: its target must be a path other than /, and not in /proc or /sys")
    if given.get("sharing", "shared") not in ("shared", "locked"):
        raise item.wrong(f"--mount={text}: sharing is shared, locked or private")
    uid, gid, mode = (int(given.get(key, standard), base) for key, standard, base in _NUMBERS)
    if not (0 <= mode <= 0o7777 and 0 <= uid < 2**32 - 1 and 0 <= gid < 2**32 - 1):
        raise item.wrong(f"--mount={text}: mode, uid or gid is out of range")
    size = int(ByteSize.parse(given.get("size", "0")))
    return Mount(kind, target, given.get("id") or target, given.get("sharing") == "locked", mode, uid, gid, size)


_NUMBERS = (("uid", "0", 10), ("gid", "0", 10), ("mode", "755", 8))
