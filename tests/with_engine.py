"""Run a command beside an engine of its own: ``with_engine.py docker COMMAND...``; 0, told, where none is installed.

The command finds its address in BAYPLAN_ENGINE_ADDRESS.
"""

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import engines


def main(name, *command):
    """The command's exit code."""
    if reason := engines.why_not(name):
        print(f"{name}: skipped, {reason}", file=sys.stderr)
        return 0
    root = Path("/var/lib/bayplan-tests") / secrets.token_hex(4)
    root.mkdir(parents=True)
    try:
        with engines.serve(name, root) as engine:
            address = {"BAYPLAN_ENGINE_ADDRESS": engine.socket}
            return subprocess.run(command, env={**os.environ, **address}, check=False).returncode
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
