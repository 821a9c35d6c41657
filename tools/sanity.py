"""Run ``ansible-test sanity`` on an assembled copy of the collection; arguments go to it (``--test pep8`` ...).

The copy lies outside of this repository: in a folder that git ignores ansible-test skips every target and succeeds.
Its virtual environments are kept in build/, so that a second run installs nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from collection import TOP, assemble

HOME = TOP / "build/sanity-home"
# ansible-test would download this script, one for each release of it; the interpreter has a pip on board.
BOOTSTRAPS = ("get_pip_24_2.py", "get_pip_21_3_1.py", "get_pip_23_1_2.py", "get_pip_25_0_1.py", "get_pip_25_2.py")
BOOTSTRAP = "import ensurepip\nensurepip.bootstrap()\n"


def sanity(top: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of the tests on an assembled copy. Raises RuntimeError when nothing was looked at."""
    cache = HOME / ".ansible/test/cache"
    cache.mkdir(parents=True, exist_ok=True)
    for name in BOOTSTRAPS:
        (cache / name).write_text(BOOTSTRAP)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    tool = Path(sys.executable).parent / "ansible-test"
    argv = [tool, "sanity", "--venv", "--python", version, "--color", "no", *arguments]
    path = f"{tool.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        argv, cwd=top, env={**os.environ, "HOME": str(HOME), "PATH": path}, text=True, capture_output=True, check=False
    )
    said = done.stdout + done.stderr
    if "All targets skipped" in said:
        raise RuntimeError(f"ansible-test skipped every file of {top}")
    return done.returncode, said


def main() -> int:
    """Assemble and test."""
    with tempfile.TemporaryDirectory(prefix="bayplan-sanity-") as scratch:
        code, said = sanity(assemble(Path(scratch), link=False), *sys.argv[1:])
    print(said)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
