# Copyright: the Bayplan contributors. Apache-2.0
"""Find the target's bridge and become it. Also run as a program of its own: ``python3 -c TEXT [COMMAND]``.

Standard library only, and of it little: the program runs once a task, by whatever Python the target has.
"""

from __future__ import annotations

import os
import sys

INSTALLED = "/opt/bayplan/bin/bayplan"
BEGUN = "#bayplan#"
ABSENT = '{"bayplan": "absent"}'


def argv_of(command: str) -> list[str]:
    """The bridge of a command: by the interpreter of its virtual environment, which starts sooner, else by its verb.

    ``-P`` keeps the directory the module happens to run in off the import path.
    """
    from shutil import which

    folder = os.path.dirname(os.path.realpath(which(command) or command))  # noqa: PTH120 - pathlib takes 10 ms
    python = os.path.join(folder, "python")  # noqa: PTH118
    if os.path.isfile(os.path.join(folder, "..", "pyvenv.cfg")) and os.access(python, os.X_OK):  # noqa: PTH113, PTH118
        return [python, "-P", "-m", "bayplan.bridge"]
    return [command, "bridge"]


def find(named: str | None) -> list[str]:
    """The argv of the bridge: the option, BAYPLAN_COMMAND, this interpreter's package, /opt/bayplan, PATH; or none."""
    from importlib.util import find_spec
    from shutil import which

    named = named or os.environ.get("BAYPLAN_COMMAND")
    if named:
        return argv_of(named)
    if find_spec("bayplan"):
        return [sys.executable, "-P", "-m", "bayplan.bridge"]
    if os.access(INSTALLED, os.X_OK):
        return argv_of(INSTALLED)
    return argv_of("bayplan") if which("bayplan") else []


def main() -> None:
    """Say that the bridge begins, and become it; say so when there is none."""
    sys.path[:] = [item for item in sys.path if item]  # with -c the working directory comes first
    argv = find(" ".join(sys.argv[1:]))
    if not argv:
        print(ABSENT)
        return
    print(BEGUN, flush=True)
    if argv[:2] == [sys.executable, "-P"]:
        from runpy import run_module

        run_module("bayplan.bridge", run_name="__main__")
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is wanted
    except OSError:
        print(ABSENT)


if __name__ == "__main__":
    main()
