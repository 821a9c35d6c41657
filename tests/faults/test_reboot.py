"""Fault rows 7 and 8: a reboot ends processes, namespaces, links, rules, cgroups and what is under the run root."""

import json
import os
import shutil
import signal
import subprocess

import pytest

from bayplan.runtime.native.containers import grants
from bayplan.system import cgroups
from bayplan.system.processes import Process
from faults.core import COMPOSE, ask, small_core

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
ALWAYS = COMPOSE.replace("    networks: [front, back]\n", "    networks: [front, back]\n    restart: always\n").replace(
    "    networks: [back]\n", "    networks: [back]\n    restart: unless-stopped\n"
)


@pytest.fixture
def core(tmp_path):
    with small_core(tmp_path, ALWAYS, pool="10.219.0.0/16") as made:
        yield made


def reboot(core, *, run_root_survives=False):
    """What a reboot leaves of a core: records and data, which speak of another boot."""
    made = core.settings
    links = [row[0] for row in core.query("SELECT bridge FROM networks")]
    core.kill_all()
    for process in cgroups.members(made.cgroup_parent):
        process.send(signal.SIGKILL)
        process.wait(5)
    cgroups.remove(made.cgroup_parent, patience_s=5)
    for name in links:
        subprocess.run(["ip", "link", "del", name], check=True)
    for family in ("inet", "bridge"):
        subprocess.run(["nft", "delete", "table", family, made.nft_table], check=bool(links), capture_output=True)
    if not run_root_survives:
        shutil.rmtree(made.run_root)
        shutil.rmtree(grants.place(made), ignore_errors=True)
    core.write("UPDATE containers SET boot_id = '11111111-2222-3333-4444-555555555555'")


@pytest.mark.parametrize("survives", [False, True])
def test_what_should_run_runs_again_with_its_addresses(core, survives):
    core.call("apply")
    before = core.status()
    assert ask(int(core.variables["PORT"])) == b"hello\n"
    reboot(core, run_root_survives=survives)
    assert core.status()["shop-api-1"]["state"] == "exited"
    started = core.call("resume", "--json")
    # In the order of their dependencies; web has no policy and stays ended, as with Docker.
    assert started == [{"name": "shop-store-1", "error": ""}, {"name": "shop-api-1", "error": ""}]
    assert ask(int(core.variables["PORT"])) == b"hello\n"
    after = core.status()
    for name in ("shop-api-1", "shop-store-1"):
        assert after[name]["addresses"] == before[name]["addresses"]
        assert (after[name]["id"], after[name]["state"]) == (before[name]["id"], "running")
    assert after["shop-web-1"]["state"] == "exited"
    assert core.call("exec", "-T", "api", "sh", "-c", "cat /etc/hosts").count("shop-store-1") == 1
    assert core.call("exec", "-T", "store", "cat", "/data/up") == "up\n"
    assert core.call("resume") == "Nothing to start.\n"
    steps = core.call("plan", "--json")["steps"]
    assert [(item["action"], item["resource"]["name"]) for item in steps] == [("start", "shop-web-1")]


def test_a_pid_of_another_boot_is_nobody_of_ours(core):
    """The number may be a stranger's now: neither status nor resume nor destroy touches it."""
    core.call("apply")
    reboot(core)
    with subprocess.Popen(["sleep", "600"]) as stranger:
        start = Process.of(stranger.pid).start
        core.write(f"UPDATE containers SET pid = {stranger.pid}, pid_start = {start}")
        assert {item["state"] for item in core.status().values() if item["kind"] == "container"} == {"exited"}
        core.call("resume")
        core.call("destroy")
        assert stranger.poll() is None
        stranger.kill()


def test_one_that_cannot_start_does_not_hold_up_the_others(core):
    core.call("apply")
    reboot(core)
    volume = core.settings.state_root / "volumes/shop_data/_data"
    shutil.rmtree(volume)
    volume.write_text("")
    started = core.call("resume", "--json", code=1)
    assert [(item["name"], bool(item["error"])) for item in started] == [("shop-store-1", True), ("shop-api-1", False)]
    assert ask(int(core.variables["PORT"])) == b"hello\n"
    volume.unlink()


def test_the_unit_runs_this_very_program(core):
    unit = core.call("resume", "--print-unit")
    assert " -m bayplan resume\n" in unit
    assert "KillMode=process" in unit


GIVEN = """\
name: shop
services:
  file:
    image: lab/busybox
    command: [sh, -c, 'cat /run/secrets/kept; exec sleep 600']
    network_mode: none
    restart: always
    stop_grace_period: 50ms
    secrets: [kept]
  other:
    image: lab/busybox
    command: [sh, -c, 'exec sleep 600']
    network_mode: none
    restart: always
    stop_grace_period: 50ms
    secrets: [spoken]
secrets:
  kept: {file: ./kept}
  spoken: {environment: SPOKEN}
"""


def test_secrets_come_back_from_their_files_and_what_cannot_is_told(core):
    kept = core.file.parent / "kept"
    kept.write_text("from a file")
    core.file.write_text(GIVEN)
    core.variables["SPOKEN"] = "in the environment"
    core.call("apply")
    reboot(core)
    answered = core.start("resume", "--json")
    assert answered.wait() == 1
    found = {item["name"]: item["error"] for item in json.loads(answered.output.read_text())}
    assert found["shop-file-1"] == ""
    assert "spoken is no longer in memory" in found["shop-other-1"]
    assert "apply again" in found["shop-other-1"]
    assert core.call("exec", "-T", "file", "cat", "/run/secrets/kept") == "from a file"
    assert core.call("apply", "--json")["done"] == ["container shop-other-1"]
    # A file that has changed meanwhile is no silent change of the container.
    kept.write_text("another word")
    reboot(core)
    answered = core.start("resume", "--json")
    assert answered.wait() == 1
    found = {item["name"]: item["error"] for item in json.loads(answered.output.read_text())}
    assert "kept is no longer in memory" in found["shop-file-1"]
    core.call("apply")
    assert core.call("exec", "-T", "file", "cat", "/run/secrets/kept") == "another word"
