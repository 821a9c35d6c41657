"""Directories removed with all that is in them, whatever somebody has built there."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEPTH = 64
"""Directories opened one in the other; what lies deeper is brought up first."""


def remove(path: Path, *, ignore_errors: bool = False) -> None:
    """Remove a directory and what is in it, of any depth. Raises OSError, unless that is to be ignored.

    A container can make directories far deeper than a path may be long, or than ``shutil.rmtree`` of Python before
    3.13 can follow: it would never be removed. No link is followed. Another file system that is mounted in it is left
    alone, and the removal fails (EBUSY).
    """
    try:
        fd = os.open(path, _DIRECTORY)
        try:
            _Removal(fd, ignore_errors=ignore_errors).run()
        finally:
            os.close(fd)
        path.rmdir()
    except OSError:
        if not ignore_errors:
            raise


class _Removal:
    def __init__(self, top: int, *, ignore_errors: bool) -> None:
        self._top, self._ignore = top, ignore_errors
        self._device = os.fstat(top).st_dev
        self._aside = f".removed-{secrets.token_hex(8)}-"
        self._count = 0
        self._brought_up: list[str] = []

    def run(self) -> None:
        self._clear(self._top, 0)
        while self._brought_up:
            self._directory(self._brought_up.pop(), self._top, 1)

    def _clear(self, fd: int, depth: int) -> None:
        with os.scandir(fd) as found:
            entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
        for name, is_directory in entries:
            try:
                if not is_directory:
                    os.unlink(name, dir_fd=fd)
                elif depth < _DEPTH:
                    self._directory(name, fd, depth + 1)
                else:
                    self._bring_up(name, fd)
            except FileNotFoundError:  # somebody else removes it too
                continue
            except OSError:
                if not self._ignore:
                    raise

    def _directory(self, name: str, parent: int, depth: int) -> None:
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            if os.fstat(fd).st_dev != self._device:
                raise OSError(errno.EBUSY, "something is mounted there", name)
            self._clear(fd, depth)
        finally:
            os.close(fd)
        with suppress(FileNotFoundError):
            os.rmdir(name, dir_fd=parent)

    def _bring_up(self, name: str, parent: int) -> None:
        self._count += 1
        brought = f"{self._aside}{self._count}"
        os.rename(name, brought, src_dir_fd=parent, dst_dir_fd=self._top)
        self._brought_up.append(brought)
