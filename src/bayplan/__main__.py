"""``bayplan``, and ``python -m bayplan``."""

import os
import sys

from bayplan.cli import unchanged


def run() -> None:
    """The command itself: ends the process."""
    known = unchanged.recognised(sys.argv[1:])
    if known is not None:
        _end(known)
    from bayplan.cli.main import entry

    entry()


def _end(text: str) -> None:
    """As ``bridge.starting.end``, which takes longer to load than this takes."""
    code = 0
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        code = 1
    os._exit(code)


if __name__ == "__main__":
    run()
