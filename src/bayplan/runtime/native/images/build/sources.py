"""Sources of ADD that Docker treats apart: what is fetched, and what is unpacked."""

from __future__ import annotations

import os

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_TAR_AT = 257


def is_url(source: str) -> bool:
    """Whether ADD would fetch it."""
    return source.startswith(("http://", "https://", "git@", "git://", "ssh://"))


def archive_kind(fd: int) -> str:
    """The kind of archive that ADD would unpack, by its first bytes; empty for a plain file. Closes ``fd``."""
    with os.fdopen(fd, "rb") as file:
        head = file.read(_TAR_AT + 5)
    if head[_TAR_AT:] == b"ustar":
        return "tar"
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")
