"""A core of its own and a Compose file that the test writes."""

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from busybox import add_busybox


@pytest.fixture
def project(tmp_path):
    tag = secrets.token_hex(2)
    state, run = Path(f"/var/lib/bayplan-tests/{tag}"), Path(f"/run/bayplan-tests/{tag}")
    environment = {
        **os.environ,
        "BAYPLAN_STATE_ROOT": str(state),
        "BAYPLAN_RUN_ROOT": str(run),
        "BAYPLAN_ADDRESS_POOL": "10.212.0.0/16",
        "BAYPLAN_INTERFACE_PREFIX": f"s{tag[:3]}",
        "BAYPLAN_NFT_TABLE": f"bayplan_test_{tag}",
        "BAYPLAN_CGROUP_PARENT": f"/bayplan-test-{tag}",
    }
    add_busybox(state / "images")
    file = tmp_path / "compose.yaml"

    def call(*arguments, ok=True, **variables):
        command = [sys.executable, "-m", "bayplan", "-f", str(file), *arguments]
        environ = {**environment, **variables}
        done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False, timeout=120)
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        call.said.append(done.stdout + done.stderr)
        return done.stdout if ok else done.stdout + done.stderr

    call.said = []
    call.run, call.state, call.file = run, state, file
    yield call
    call("destroy")
    shutil.rmtree(state)
    shutil.rmtree(run, ignore_errors=True)
