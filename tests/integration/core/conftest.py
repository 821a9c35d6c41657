"""A core of its own and a Compose file that the test writes."""

import os
import subprocess
import sys

import pytest

from faults.core import Core, add_image


@pytest.fixture
def project(tmp_path):
    """Calls the command; everything is destroyed at the end, and nothing may stay."""
    made = Core(tmp_path / "compose.yaml", pool="10.212.0.0/16")
    add_image(made.settings.state_root / "images")

    def call(*arguments, ok=True, **variables):
        command = [*made.command, "-f", str(made.file), *arguments]
        environ = {**os.environ, **made.environment, **variables}
        done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False, timeout=120)
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        call.said.append(done.stdout + done.stderr)
        return done.stdout if ok else done.stdout + done.stderr

    call.said, call.command, call.environment = [], made.command, made.environment
    call.settings = made.settings
    call.run, call.state, call.file = made.settings.run_root, made.settings.state_root, made.file
    try:
        yield call
        call("destroy", "--volumes")
        assert made.left() == []
    finally:
        made.remove()


@pytest.fixture
def run_bayplan():
    """Runs a verb with its roots below a directory; gives what it says, whatever its exit code."""

    def run(file, directory, *argv):
        roots = directory / "roots"
        roots.mkdir(exist_ok=True)
        places = {"BAYPLAN_STATE_ROOT": str(roots / "state/core"), "BAYPLAN_RUN_ROOT": str(roots / "run/core")}
        command = [sys.executable, "-m", "bayplan", "-f", str(file), *argv]
        environ = {**os.environ, **places}
        done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False, timeout=120)
        return done.stdout + done.stderr

    return run
