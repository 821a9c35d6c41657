"""Extended attributes of what is copied, as headers of a pax archive (``SCHILY.xattr.NAME``, as tar(1) has them)."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

_HEADER = "SCHILY.xattr."
_CARRIED = ("user.", "system.posix_acl_", "security.capability")
"""ACLs, capabilities of files and users' own. Never ``trusted.``: there the overlay keeps what it hides."""
_UNKNOWN = frozenset({errno.ENOTSUP, errno.ENODATA, errno.EPERM})


def read(path: str) -> dict[str, str]:
    """Those of a file as headers; bytes that are no UTF-8 are surrogates, which tarfile writes as they were."""
    try:
        names = [name for name in os.listxattr(path) if name.startswith(_CARRIED)]
        return {f"{_HEADER}{name}": os.fsdecode(os.getxattr(path, name)) for name in names}
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
        return {}


def write(fd: int, headers: Mapping[str, str]) -> None:
    """Set what the headers hold. One that the file system cannot keep is left out, as ``cp -a`` does."""
    for header, value in headers.items():
        name = header.removeprefix(_HEADER)
        if header.startswith(_HEADER) and name.startswith(_CARRIED):
            try:
                os.setxattr(fd, name, os.fsencode(value))
            except OSError as error:
                if error.errno not in _UNKNOWN:
                    raise
