"""``python -m bayplan.bridge``."""

import sys

from bayplan.bridge import starting

starting.quickly()

from bayplan.bridge.main import run  # noqa: E402 - after pydantic was told to start soon

starting.end(run(sys.argv[1:]))
