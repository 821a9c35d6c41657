"""Directories taken away at once, their content a moment later.

A rename takes 10 microseconds. Removing a tree from Python takes a hundred times that for the few files of a container,
under the interpreter's lock, while others wait for it; so that is left to rm(1), for many trees together.
"""

from __future__ import annotations

import logging
import subprocess
import time
from pathlib import Path

from bayplan.system import trees

_FEW = 4
_log = logging.getLogger(__name__)


def set_aside(path: Path, aside: Path) -> None:
    """Take a directory away, to ``aside`` on the same file system; absent is no error. Raises OSError."""
    target = aside / f"{path.name}.{time.monotonic_ns()}"
    try:
        path.rename(target)
    except FileNotFoundError:
        if not path.exists():
            return
        aside.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.rename(target)


def remove_aside(*asides: Path) -> None:
    """Remove what was set aside, also by a process that was killed; what cannot be removed is tried again next time."""
    for aside in asides:
        if not aside.is_dir():
            continue
        left = list(aside.iterdir())
        if len(left) <= _FEW:
            for path in left:
                trees.remove(path, ignore_errors=True)
        else:
            subprocess.run(["rm", "-rf", "--one-file-system", "--", *left], check=False, stderr=subprocess.DEVNULL)
        try:
            aside.rmdir()
        except OSError as error:
            _log.warning("%s is not removed yet, is something mounted in it? %s", aside, error.strerror)
