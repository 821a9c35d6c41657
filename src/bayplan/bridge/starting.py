"""A process that starts soon and ends at once: what the command and the bridge share."""

from __future__ import annotations

import gc
import os
import sys
from types import ModuleType
from typing import NoReturn


def quickly() -> None:
    """To be called before pydantic is imported: some 70 ms of a start that takes 200."""
    # Looking for pydantic plugins reads the metadata of every distribution there is, 40 ms here; none is wanted.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    _forgo_plugins()
    # A short run that makes many small objects and hardly a cycle: the usual threshold looks for them all the time.
    gc.set_threshold(200_000, 20, 20)


def end(code: int) -> NoReturn:
    """End the process.

    Everything is closed and written when ``main`` is back. Taking the interpreter apart would only cost the time of
    letting go of each object, 20 to 40 ms.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            code = code or 1
    os._exit(code)


def _forgo_plugins() -> None:
    """Spare pydantic the module that would look for plugins: with it come importlib.metadata and email, 20 ms more.

    Another pydantic may want other names of it: each is a function that finds none.
    """
    loader = ModuleType("pydantic.plugin._loader")
    loader.__getattr__ = lambda _: tuple  # type: ignore[method-assign]
    sys.modules.setdefault(loader.__name__, loader)
