"""Services that share a namespace, from a Compose file: order, second apply, and what follows a change of the owner."""

import json
import os
from pathlib import Path

import pytest

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
    volumes: [{type: bind, source: ./made, target: /made, bind: {create_host_path: true}}]
    environment: {ROUND: "${ROUND:-1}"}
    sysctls: {net.ipv4.ip_unprivileged_port_start: "81"}
    stop_grace_period: 100ms
"""


def pids(project):
    listed = json.loads(project("status", "--json"))
    path = "containers/{}/pid"
    found = {one["name"]: project.run / path.format(one["id"]) for one in listed if one["name"].startswith("bps-")}
    return {name.split("-")[1]: int(file.read_text()) for name, file in found.items()}


def same(found, kind):
    return len({os.readlink(f"/proc/{pid}/ns/{kind}") for pid in found.values()}) == 1  # noqa: PTH115


def test_a_side_car_shares_follows_and_is_left_alone(project):
    project.file.write_text(COMPOSE)
    project("apply")
    first = pids(project)
    assert same(first, "net")
    assert same(first, "ipc")
    assert Path(f"/proc/{first['side']}/root/etc/hosts").read_text().count("main") >= 1
    assert (project.file.parent / "made").is_dir()
    assert "Nothing to do" in project("plan")
    shown = project("plan", ROUND="2")
    assert "shares a namespace of container bps-main-1" in shown
    assert "RESTART" in shown.upper()
    project("apply", ROUND="2")
    second = pids(project)
    assert second["side"] != first["side"]
    assert same(second, "net")
    os.kill(second["main"], 9)
    project("apply", ROUND="2")
    assert same(pids(project), "net")
