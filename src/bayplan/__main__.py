"""``bayplan``, and ``python -m bayplan``."""

import os
import sys

from bayplan.cli import unchanged


def run() -> None:
    """The command itself: ends the process."""
    known = unchanged.recognised(sys.argv[1:])
    if known is not None:
        sys.stdout.write(known)
        sys.stdout.flush()
        os._exit(0)  # as ``bridge.starting.end``
    from bayplan.cli.main import entry

    entry()


if __name__ == "__main__":
    run()
