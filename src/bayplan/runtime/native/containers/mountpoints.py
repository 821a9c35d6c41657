"""The lowest layer of every container: where the runtime mounts what each of them gets.

Without it the runtime makes these directories and files in the container's own layer if the image lacks them, for each
container anew, and they would look like changes that the container made. An image's own entries lie over them.
"""

from __future__ import annotations

import secrets
import shutil
import threading
from pathlib import Path

_making = threading.Lock()
_DIRECTORIES = ("dev", "etc", "proc", "sys")
_FILES = ("etc/hostname", "etc/hosts", "etc/resolv.conf")


def layer(state_root: Path) -> Path:
    """The directory of one core, made at first use; whole or not there. Raises OSError."""
    path = state_root / "mountpoints"
    if path.is_dir():
        return path
    with _making:
        return path if path.is_dir() else _create(state_root, path)


def _create(state_root: Path, path: Path) -> Path:
    # Under the host's lock no other process makes one: what is there was left by a kill.
    for left in state_root.glob(".mountpoints.*"):
        shutil.rmtree(left, ignore_errors=True)
    state_root.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = state_root / f".mountpoints.{secrets.token_hex(4)}"
    for name in _DIRECTORIES:
        _make(temporary / name)
    _make(temporary)
    for name in _FILES:
        (temporary / name).touch()
        (temporary / name).chmod(0o644)
    try:
        temporary.rename(path)
    except OSError:
        # Another process was faster.
        shutil.rmtree(temporary)
        if not path.is_dir():
            raise
    return path


def _make(path: Path) -> None:
    """A directory that every user of the container can read, whatever our umask is."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o755)
