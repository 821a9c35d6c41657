"""Small files of the image store, each read and summed once as long as it is the same file.

A plan asks for an image's manifest and configuration many times, a process that stays for ever again.
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

MAX_DOCUMENT = 8 << 20
_KEPT = 128


def content(path: Path) -> tuple[bytes, str]:
    """At most ``MAX_DOCUMENT`` bytes and one, and their digest. Raises FileNotFoundError."""
    found = os.stat(path)  # noqa: PTH116 - pathlib's way takes longer than the rest of this
    return _read(str(path), (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))


@functools.lru_cache(_KEPT)
def _read(path: str, stamp: tuple[int, ...]) -> tuple[bytes, str]:
    """``stamp`` is another one after each write, whatever times are set (stat(2), "st_ctim")."""
    del stamp
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        data = file.read(MAX_DOCUMENT + 1)
    return data, f"sha256:{hashlib.sha256(data).hexdigest()}"
