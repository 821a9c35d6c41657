"""What a request loaded and built, told to the process that forks for the next one, so that it is there already."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import suppress

from pydantic import BaseModel

_MOST = 64 << 10
"""Bytes that a pipe holds."""


def pipe() -> tuple[int, int]:
    """To read from, to write to. Neither waits: what does not fit is not told."""
    return os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)


def names() -> dict[str, None]:
    """Modules in the order in which they were asked for, then models (``module:class``) whose checks were built."""
    built = (f"{one.__module__}:{one.__qualname__}" for one in _models(BaseModel) if one.__pydantic_complete__)
    return dict.fromkeys((*sys.modules, *built))


def tell(writing: int, known: dict[str, None]) -> None:
    """Tell what is there now and was not ``known``."""
    with suppress(OSError):
        os.write(writing, "".join(f"{name}\n" for name in names() if name not in known).encode())


def learn(reading: int) -> None:
    """Load and build what was told, if anything was."""
    with suppress(BlockingIOError):
        for name in os.read(reading, _MOST).decode().split("\n")[:-1]:
            with suppress(Exception):  # one that cannot be had alone; who needs it finds it as ever
                _load(name)


class Sources:
    """Files that modules came from, and directories they are looked for in, as they were then.

    Another file is a package that was upgraded meanwhile. Another directory has one that was not there, and may have
    more directories to look in (site, "path configuration file"), which are read when Python starts.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int, int]] = {}

    def note(self) -> None:
        """Those of modules that are loaded by now."""
        for path in (*sys.path, *(getattr(module, "__file__", None) for module in [*sys.modules.values()])):
            if isinstance(path, str) and path not in self._known:
                self._known[path] = _version(path)

    def changed(self) -> bool:
        """Whether any is another now."""
        return any(_version(path) != version for path, version in self._known.items())


def _models(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for one in base.__subclasses__():
        yield one
        yield from _models(one)


def _load(name: str) -> None:
    module, _, model = name.partition(":")
    found = importlib.import_module(module)
    if model:
        getattr(found, model).model_rebuild()


def _version(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 - hundreds of files for each request
    except OSError:
        return (0, 0, 0)
    return found.st_ino, found.st_size, found.st_mtime_ns
