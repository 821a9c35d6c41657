"""Fault row 32: zombies, a first process that ignores its signal, one that waits for a device; others go on."""

import os
import subprocess
import time

import pytest

from bayplan.runtime.native.containers.spec import process
from bayplan.system import cgroups
from faults.core import small_core

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
STACK = """\
name: odd
services:
  deaf:
    image: lab/busybox
    command: [sh, -c, 'trap "" TERM INT HUP; while :; do sleep 0.1; done']
    network_mode: none
    stop_grace_period: 200ms
  stuck:
    image: lab/busybox
    command: [sh, -c, 'while [ ! -e /go ]; do sleep 0.05; done; echo x > /disk/file; exec sleep 600']
    network_mode: none
    stop_grace_period: 50ms
    volumes: ["PLACE:/disk"]
"""
INIT = """\
  orphans:
    image: lab/busybox
    command: [sh, -c, '(sleep 0.05 &) ; (sleep 0.05 &) ; exec sleep 600']
    network_mode: none
    init: true
    stop_grace_period: 50ms
"""


@pytest.fixture
def disk(tmp_path):
    image, place = tmp_path / "image", tmp_path / "disk"
    subprocess.run(["truncate", "-s", "8M", str(image)], check=True)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    place.mkdir()
    if subprocess.run(["mount", "-o", "loop", str(image), str(place)], capture_output=True, check=False).returncode:
        pytest.skip("no loop devices here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - short
            return file.read().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def test_what_waits_for_a_device_is_told_and_holds_up_nobody(tmp_path, disk):
    """Fault row 32."""
    with small_core(tmp_path, STACK.replace("PLACE", str(disk))) as core:
        core.call("apply")
        pids = core.pids()
        subprocess.run(["fsfreeze", "-f", str(disk)], check=True)
        try:
            core.call("exec", "-T", "stuck", "sh", "-c", "echo > /go")
            deadline = time.monotonic() + 20
            while state_of(pids["odd-stuck-1"]) != "D":
                assert time.monotonic() < deadline
                time.sleep(0.02)
            said = core.call("stop", code=1)
            assert "odd-stuck-1" in said
            assert "does not end after SIGKILL" in said
            # The one that only ignores its signal was killed at its deadline.
            assert state_of(pids["odd-deaf-1"]) == ""
            assert core.status()["odd-deaf-1"]["exit_code"] == 137
        finally:
            subprocess.run(["fsfreeze", "-u", str(disk)], check=True)
        core.call("stop")
        assert state_of(pids["odd-stuck-1"]) == ""


def test_nothing_is_forgotten_while_a_part_of_it_waits_for_a_device(tmp_path, disk):
    """Fault row 32: not its first process, and not in a PID namespace that would end with that one."""
    script = "(while [ ! -e /go ]; do sleep 0.05; done; echo x > /disk/file) & exec sleep 600"
    service = f"""\
  part:
    image: lab/busybox
    command: [sh, -c, '{script}']
    network_mode: none
    pid: host
    stop_grace_period: 50ms
    volumes: ["{disk}:/disk"]
"""
    with small_core(tmp_path, "name: odd\nservices:\n" + service) as core:
        core.call("apply")
        subprocess.run(["fsfreeze", "-f", str(disk)], check=True)
        try:
            core.call("exec", "-T", "part", "sh", "-c", "echo > /go")
            group = f"{core.settings.cgroup_parent}/{core.query('SELECT id FROM containers')[0][0]}"
            deadline = time.monotonic() + 20
            while not (stuck := [one.pid for one in cgroups.members(group) if state_of(one.pid) == "D"]):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert "does not end after SIGKILL" in core.call("rm", "-f", "part", code=1)
            assert "odd-part-1" in core.status()
        finally:
            subprocess.run(["fsfreeze", "-u", str(disk)], check=True)
        core.call("rm", "-f", "part")
        assert state_of(stuck[0]) in ("", "Z")


def test_orphans_are_reaped(tmp_path):
    """Fault row 32: with the small init no zombie stays."""
    try:
        process.init_program()
    except Exception:
        pytest.skip("no small init is installed")
    with small_core(tmp_path, "name: odd\nservices:\n" + INIT) as core:
        core.call("apply")
        first = core.pids()["odd-orphans-1"]
        deadline = time.monotonic() + 20
        while True:
            with open(f"/proc/{first}/task/{first}/children") as file:  # noqa: PTH123 - short
                children = file.read().split()
            if len(children) == 1:
                break
            assert time.monotonic() < deadline, [state_of(pid) for pid in children]
            time.sleep(0.05)
        assert state_of(children[0]) != "Z"
