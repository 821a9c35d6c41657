"""A stack from a Compose file on the real core: plan, apply, second apply, edit, destroy."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from busybox import add_busybox

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
COMPOSE = """\
name: bpt
services:
  store:
    image: lab/busybox
    command: [sh, -c, 'echo up > /data/up; exec sleep 600']
    volumes: ["data:/data"]
    networks: [back]
    stop_grace_period: 100ms
    healthcheck: {test: [CMD, cat, /data/up], interval: 100ms, retries: 50}
  web:
    image: lab/busybox
    command: [sh, -c, 'while :; do nc -l -p 7000 -e echo "$$GREETING"; done']
    environment: {GREETING: "${GREETING:-hello}"}
    networks: [front, back]
    ports: ["127.0.0.1:39881:7000"]
    stop_grace_period: 100ms
    depends_on: {store: {condition: service_healthy}}
networks:
  front: {}
  back: {internal: true}
volumes:
  data: {}
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
        "BAYPLAN_INTERFACE_PREFIX": f"c{tag[:3]}",
        "BAYPLAN_NFT_TABLE": f"bayplan_test_{tag}",
        "BAYPLAN_CGROUP_PARENT": f"/bayplan-test-{tag}",
    }
    add_busybox(state / "images")
    file = tmp_path / "compose.yaml"
    file.write_text(COMPOSE)

    def call(*arguments, code=0, **extra):
        argv = [sys.executable, "-m", "bayplan", "-f", str(file), *arguments]
        done = subprocess.run(argv, env={**environment, **extra}, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout + done.stderr

    yield call
    call("destroy", "--volumes")
    links = [name for _, name in socket.if_nameindex() if name.startswith(environment["BAYPLAN_INTERFACE_PREFIX"])]
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if tag in line]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    left = [item.name for top in (state, run) for item in (top / "containers").glob("*")]
    groups = [str(item) for item in Path("/sys/fs/cgroup").glob(f"*/bayplan-test-{tag}/*") if item.is_dir()]
    for item in Path("/sys/fs/cgroup").glob(f"*/bayplan-test-{tag}"):
        item.rmdir()
    shutil.rmtree(state)
    shutil.rmtree(run, ignore_errors=True)
    assert (links, mounts, tag in tables, left, groups) == ([], [], False, [], [])


def ask(port):
    """An answer through the published port; the server may need a moment after its container has started."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
                return peer.recv(100)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_the_whole_path(bayplan):
    planned = bayplan("plan", "--json")
    first = bayplan("apply", "--json")
    assert [item["resource"] for item in first["plan"]["steps"]] == [item["resource"] for item in planned["steps"]]
    assert len(first["done"]) == 5
    assert ask(39881) == b"hello\n"
    ids = {item["name"]: item["id"] for item in bayplan("status", "--json")}
    seen = {item["name"]: item for item in bayplan("status", "--json")}
    assert set(seen["bpt-web-1"]["addresses"]) == {"bpt_front", "bpt_back"}
    assert seen["bpt-web-1"]["addresses"]["bpt_back"] in bayplan("exec", "store", "cat", "/etc/hosts")
    assert bayplan("apply", "--json")["changed"] is False
    assert "Nothing to do" in bayplan("plan")
    text = bayplan("plan", GREETING="bonjour")
    assert "environment[GREETING]: 'hello' -> 'bonjour'" in text
    edited = bayplan("apply", "--json", GREETING="bonjour")
    assert edited["done"] == ["container bpt-web-1"]
    assert ask(39881) == b"bonjour\n"
    after = {item["name"]: item["id"] for item in bayplan("status", "--json")}
    assert after["bpt-store-1"] == ids["bpt-store-1"]
    assert after["bpt-web-1"] != ids["bpt-web-1"]
    assert bayplan("exec", "store", "cat", "/data/up") == "up\n"
    assert "\tstore bpt-store-1 " in bayplan("exec", "web", "cat", "/etc/hosts")
    # The store was not touched by the edit, and yet knows the new web and no longer the old one.
    assert bayplan("exec", "store", "cat", "/etc/hosts").count("\tweb bpt-web-1 ") == 1
    assert "not run" not in bayplan("logs", "web")


def test_a_taken_port_and_a_missing_bind_are_refused_before_anything(bayplan, tmp_path):
    with socket.create_server(("127.0.0.1", 39881)):
        said = bayplan("apply", code=2)
    assert "127.0.0.1:39881/tcp is taken by a process of the host" in said
    assert bayplan("status", "--json") == []
