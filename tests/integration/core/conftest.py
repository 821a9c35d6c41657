"""A core of its own and a Compose file that the test writes."""

import os
import subprocess

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
    call.run, call.state, call.file = made.settings.run_root, made.settings.state_root, made.file
    try:
        yield call
        call("destroy", "--volumes")
        assert made.left() == []
    finally:
        made.remove()
