"""The core on a host with cgroup v2 alone: limits, health, restart, second apply, exec, removal. Runs as root there."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from busybox import add_busybox

GROUPS = Path("/sys/fs/cgroup")
COMPOSE = """
name: smoke
services:
  store:
    image: lab/busybox
    command: [sh, -c, 'echo up > /data/up; exec sleep 6000']
    volumes: ["data:/data"]
    networks: [back]
    mem_limit: 64m
    pids_limit: 50
    cpus: 0.5
    stop_grace_period: 100ms
    healthcheck: {test: [CMD, cat, /data/up], interval: 1s, timeout: 30s, retries: 50}
  web:
    image: lab/busybox
    command: [sh, -c, 'while :; do nc -l -p 7000 -e echo hello; done']
    networks: [front, back]
    restart: always
    ports: ["127.0.0.1:8080:7000"]
    stop_grace_period: 100ms
    depends_on: {store: {condition: service_healthy}}
networks:
  front: {}
  back: {internal: true}
volumes:
  data: {}
"""


def bayplan(*arguments):
    argv = [sys.executable, "-m", "bayplan", "-f", "/root/compose.yaml", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-1500:]
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def containers():
    return {item["name"]: item for item in bayplan("status", "--json") if item["kind"] == "container"}


def say(text):
    print(f"-- {text}", flush=True)


def main():
    assert (GROUPS / "cgroup.controllers").exists(), "not a host with cgroup v2 alone"
    add_busybox(Path("/var/lib/bayplan/images"))
    Path("/root/compose.yaml").write_text(COMPOSE)
    say("apply")
    assert bayplan("apply", "--json")["changed"]
    found = containers()
    group = GROUPS / "bayplan" / found["smoke-store-1"]["id"]
    limits = {name: (group / name).read_text().strip() for name in ("memory.max", "pids.max", "cpu.max")}
    say(f"limits {limits}")
    assert limits == {"memory.max": str(64 << 20), "pids.max": "50", "cpu.max": "50000 100000"}
    say("again")
    assert not bayplan("apply", "--json")["changed"]
    assert "up" in bayplan("exec", "store", "cat", "/data/up")
    say("limit in place")
    Path("/root/compose.yaml").write_text(COMPOSE.replace("64m", "80m"))
    changed = bayplan("apply", "--json")
    assert [step["action"] for step in changed["plan"]["steps"]] == ["update"], changed["plan"]["steps"]
    assert (group / "memory.max").read_text().strip() == str(80 << 20)
    say("restart")
    os.kill(found["smoke-web-1"]["pid"], 9)
    deadline = time.monotonic() + 300
    while not containers()["smoke-web-1"]["restarts"]:
        assert time.monotonic() < deadline, "it did not come back"
        time.sleep(1)
    say("destroy")
    bayplan("destroy", "--volumes")
    assert bayplan("status", "--json") == []
    assert not (GROUPS / "bayplan").exists()
    assert not [line for line in Path("/proc/self/mounts").read_text().splitlines() if "bayplan" in line]


if __name__ == "__main__":
    main()
