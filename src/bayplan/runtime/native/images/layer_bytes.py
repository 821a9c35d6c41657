"""What every layer that is written has in common: its compression, and which extended attributes it keeps."""

from __future__ import annotations

import hashlib
import os
import zlib
from typing import BinaryIO

from bayplan.errors import UnsupportedError

SMALL, FAST = 6, 1
"""Levels of compression: a seventh less, or in two fifths of the time."""
_WINDOW = 31  # zlib.h: 15 bits of window, 16 for a gzip header
_REFUSED = frozenset({"trusted.overlay.redirect", "trusted.overlay.metacopy"})


class GzipSink:
    """gzip without time or name (RFC 1952); hashes what is written and what comes of it.

    zlib's own output, not isal's: that one depends on the processor, and the same layer must give the same bytes.
    """

    def __init__(self, file: BinaryIO, level: int = SMALL) -> None:
        self._file = file
        self._zip = zlib.compressobj(level, zlib.DEFLATED, _WINDOW)
        self.plain, self.packed, self.size = hashlib.sha256(), hashlib.sha256(), 0

    @property
    def diff_id(self) -> str:
        """Digest of what was written."""
        return f"sha256:{self.plain.hexdigest()}"

    @property
    def digest(self) -> str:
        """Digest of the compressed bytes, of which there are ``size``; right after ``finish``."""
        return f"sha256:{self.packed.hexdigest()}"

    def write(self, data: bytes) -> int:
        """Take bytes in."""
        self.plain.update(data)
        self._out(self._zip.compress(data))
        return len(data)

    def finish(self) -> None:
        """Nothing more comes."""
        self._out(self._zip.flush())

    def _out(self, data: bytes) -> None:
        self.packed.update(data)
        self.size += len(data)
        self._file.write(data)


def attributes(path: str, shown: str) -> dict[str, bytes]:
    """Extended attributes that belong to the file (``shown`` in errors), not to the overlay, in the order of names.

    Raises UnsupportedError for what an overlay keeps of a moved file: a layer cannot hold it.
    """
    found = {}
    for key in sorted(os.listxattr(path, follow_symlinks=False)):
        if key in _REFUSED:
            raise UnsupportedError(
                f"the overlay of this kernel keeps {key} of {shown}, which layers cannot",
                hint="set redirect_dir and metacopy of the module overlay to N",
            )
        if not key.startswith("trusted."):
            found[key] = os.getxattr(path, key, follow_symlinks=False)
    return found
