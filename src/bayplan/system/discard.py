"""Directories taken away at once, their content a moment later.

A rename takes 10 microseconds. Removing a tree from Python takes a hundred times that for the few files of a container,
under the interpreter's lock, while others wait for it; so that is left to rm(1), for many trees together, beside other
work.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from bayplan.system import trees

_FEW = 4
_TOGETHER = 40
_log = logging.getLogger(__name__)


class Discarded:
    """What has been taken away below some directories. Safe to use from many threads."""

    def __init__(self, *roots: Path) -> None:
        self._roots = roots
        self._asides = {f"{root}/": str(self._aside(root)) for root in roots}
        self._waiting: list[str] = []
        self._programs: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()

    def take(self, path: Path) -> None:
        """Take a directory away; absent is no error. ``settle`` returns when it is gone. Raises OSError."""
        # As text: three directories go with each container, and pathlib takes longer than the kernel.
        taken = str(path)
        aside = next(aside for root, aside in self._asides.items() if taken.startswith(root))
        target = f"{aside}/{path.name}.{time.monotonic_ns()}"
        while True:
            try:
                os.rename(taken, target)  # noqa: PTH104 - see above
                break
            except FileNotFoundError:
                if not path.exists():
                    return
                # Again where ``settle`` of another thread has taken that away in between.
                Path(aside).mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock:
            self._waiting.append(target)
            if len(self._waiting) >= _TOGETHER:
                self._programs.append(_remove(self._waiting))
                self._waiting = []

    def begin(self) -> None:
        """Begin to remove what waits, beside what the caller does until ``settle``."""
        with self._lock:
            if len(self._waiting) > _FEW:
                self._programs.append(_remove(self._waiting))
                self._waiting = []

    def settle(self) -> None:
        """Remove what was taken away, also by a process that was killed. Only while no other process takes any.

        What cannot be removed is tried again next time.
        """
        with self._lock:
            self._waiting = []
            while self._programs:
                self._programs.pop().wait()
        for root in self._roots:
            if self._aside(root).is_dir():
                self._empty(self._aside(root))

    @staticmethod
    def _empty(aside: Path) -> None:
        left = list(aside.iterdir())
        if len(left) > _FEW:
            _remove(left).wait()
            left = list(aside.iterdir())
        for path in left:
            trees.remove(path, ignore_errors=True)
        try:
            aside.rmdir()
        except OSError as error:
            _log.warning("%s is not removed yet, is something mounted in it? %s", aside, error.strerror)

    @staticmethod
    def _aside(root: Path) -> Path:
        return root / "discarded"


def _remove(paths: Iterable[str | Path]) -> subprocess.Popen[bytes]:
    command = ["rm", "-rf", "--one-file-system", "--", *map(str, paths)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
