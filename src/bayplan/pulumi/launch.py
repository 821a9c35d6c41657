"""The executable ``pulumi-resource-bayplan``: what has to be done before anything heavy is loaded."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from bayplan.bridge import starting

_PACKAGES = ("pulumi", "pulumi.runtime", "pulumi.runtime.proto")


def entry() -> NoReturn:
    """Serve, and end the process: nobody waits for calls that are still under way, and the bridge ends by itself."""
    starting.quickly()
    _protocol_alone()
    from bayplan.pulumi.server import main

    starting.end(main(sys.argv[1:]))


def _protocol_alone() -> None:
    """Have ``pulumi.runtime.proto`` be its own messages, without the SDK for programs that it comes in.

    Of the time that a plugin takes to start the SDK would be more than half. This process runs no program.
    """
    found = importlib.util.find_spec(_PACKAGES[0])
    if found is None or found.origin is None:
        return  # the import that follows says what is missing
    top = Path(found.origin).parent
    for name in _PACKAGES:
        package = ModuleType(name)
        package.__path__ = [str(top.joinpath(*name.split(".")[1:]))]
        sys.modules.setdefault(name, package)
