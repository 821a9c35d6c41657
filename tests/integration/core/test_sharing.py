"""Services that share a namespace, from a Compose file: order, second apply, and what follows a change of the owner."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from busybox import add_busybox

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
COMPOSE = """\
name: bps
services:
  side:
    image: lab/busybox
    command: [sleep, '600']
    network_mode: service:main
    ipc: service:main
    stop_grace_period: 100ms
  main:
    image: lab/busybox
    command: [sleep, '600']
    ipc: shareable
    environment: {ROUND: "${ROUND:-1}"}
    sysctls: {net.ipv4.ip_unprivileged_port_start: "81"}
    stop_grace_period: 100ms
"""


@pytest.fixture
def bayplan(tmp_path):
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
    file.write_text(COMPOSE)

    def call(*arguments, ok=True, **variables):
        command = [sys.executable, "-m", "bayplan", "-f", str(file), *arguments]
        environ = {**environment, **variables}
        done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False, timeout=120)
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        return done.stdout + done.stderr

    call.run = run
    yield call
    call("destroy")
    shutil.rmtree(state)
    shutil.rmtree(run, ignore_errors=True)


def pids(bayplan):
    listed = json.loads(bayplan("status", "--json"))
    path = "containers/{}/pid"
    found = {one["name"]: bayplan.run / path.format(one["id"]) for one in listed if one["name"].startswith("bps-")}
    return {name.split("-")[1]: int(file.read_text()) for name, file in found.items()}


def same(found, kind):
    return len({os.readlink(f"/proc/{pid}/ns/{kind}") for pid in found.values()}) == 1  # noqa: PTH115


def test_a_side_car_shares_follows_and_is_left_alone(bayplan):
    bayplan("apply")
    first = pids(bayplan)
    assert same(first, "net")
    assert same(first, "ipc")
    assert Path(f"/proc/{first['side']}/root/etc/hosts").read_text().count("main") >= 1
    assert "Nothing to do" in bayplan("plan")
    shown = bayplan("plan", ROUND="2")
    assert "shares a namespace of container bps-main-1" in shown
    assert "RESTART" in shown.upper()
    bayplan("apply", ROUND="2")
    second = pids(bayplan)
    assert second["side"] != first["side"]
    assert same(second, "net")
    os.kill(second["main"], 9)
    bayplan("apply", ROUND="2")
    assert same(pids(bayplan), "net")
