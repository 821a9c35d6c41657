"""top, stats, inspect and ps of real containers."""

import json
import os
import re
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
COMPOSE = """\
name: bpv
services:
  app:
    image: lab/busybox
    command: [sh, -c, 'sleep 600 & while :; do :; done']
    environment: {PASSWORD: hidden}
    mem_limit: 64m
    pids_limit: 50
    restart: on-failure:3
    stop_grace_period: 0s
    volumes: ["data:/data"]
    ports: ["127.0.0.1:39882:7000"]
    labels: {a: b}
volumes: {data: {}}
"""


def test_what_runs_is_seen(bayplan):
    bayplan.file.write_text(COMPOSE)
    bayplan("apply")
    status = bayplan.status("bpv-app-1")
    rows = bayplan("top", "app", "--json")["bpv-app-1"]
    assert rows[0]["pid"] == status["pid"]
    assert [row["command"] for row in rows][-1] == "sleep 600"
    assert rows[1]["parent"] == status["pid"]
    assert "sleep 600" in bayplan("top")
    (used,) = bayplan("stats", "--no-stream", "--json")
    assert used["cpu_percent"] > 5
    assert 0 < used["memory_bytes"] < used["memory_limit_bytes"] == 64 << 20
    assert (used["pids"], used["pids_limit"]) == (2, 50)
    assert used["network_sent_bytes"] >= 0
    assert "64MiB" in bayplan("stats", "--no-stream")
    said = bayplan("stats", "--no-stream", "--format", "table {{.Name}}\\t{{.PIDs}}", "app").split("\n")
    assert (said[0].split(), said[1].split()) == (["NAME", "PIDS"], ["bpv-app-1", "2", "/", "50"])
    assert json.loads(bayplan("ps", "--format", "json"))["Service"] == "app"
    assert bayplan("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.IPv6}}") == "bpv_default bridge false\n"
    assert bayplan("network", "inspect", "--format", "{{len .Containers}}", "bpv_default") == "1\n"
    assert bayplan("volume", "ls", "--format", "{{.Driver}}:{{.Name}}") == "local:bpv_data\n"
    assert bayplan("volume", "inspect", "--format", "{{json .users}}", "bpv_data") == '["bpv-app-1"]\n'
    assert bayplan("image", "ls", "--format", "{{.Repository}} {{.Tag}}") == "lab/busybox latest\n"
    assert bayplan("image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", "lab/busybox") == "linux/amd64\n"
    assert "there is no Nothing" in bayplan("image", "ls", "--format", "{{.Nothing}}", code=2)
    assert "Up " in bayplan("ps")
    (listed,) = bayplan("ps", "--json")
    assert (listed["name"], listed["state"]) == ("bpv-app-1", "running")
    bayplan("pause")
    assert "(paused)" in bayplan("ps")
    bayplan("kill")
    assert re.search(r"Exited \(137\) \d+ seconds ago", bayplan("ps", "-a"))
    assert "bpv-app-1" not in bayplan("ps")
    assert "is not running" in bayplan("top", "app", code=2)


def test_inspect_has_dockers_shape_and_no_secret(bayplan):
    bayplan.file.write_text(COMPOSE)
    bayplan("apply")
    (found,) = json.loads(bayplan("inspect", "app"))
    assert found["Name"] == "/bpv-app-1"
    state = found["State"]
    assert (state["Status"], state["Running"], state["Paused"], state["ExitCode"]) == ("running", True, False, 0)
    assert state["Pid"] == bayplan.status("bpv-app-1")["pid"]
    assert state["StartedAt"].endswith("Z")
    assert "hidden" not in json.dumps(found["Config"])
    assert found["Config"]["Labels"]["a"] == "b"
    assert found["HostConfig"]["Memory"] == 64 << 20
    assert found["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert found["NetworkSettings"]["Ports"] == {"7000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "39882"}]}
    assert found["NetworkSettings"]["Networks"]["bpv_default"]["IPAddress"].startswith("10.209.")
    (mount,) = found["Mounts"]
    assert (mount["Type"], mount["Destination"], mount["RW"]) == ("volume", "/data", True)
    bayplan("kill")
    (found,) = bayplan("inspect", "app", "--json")
    assert (found["State"]["Status"], found["State"]["ExitCode"], found["State"]["Pid"]) == ("exited", 137, 0)


LISTS = {
    ("status",): "KIND   NAME   STATE   ADDRESSES   PORTS   NOTES",
    ("ps",): "NAME   IMAGE   SERVICE   STATUS   PORTS",
    ("volume", "ls"): "NAME   PROJECT   USED BY   DEFECTS",
    ("network", "ls"): "NAME   PROJECT   SUBNETS   USED BY   DEFECTS",
    ("secret", "ls"): "NAME   BYTES",
}


def test_lists_have_heads_also_when_they_are_empty_and_names_alone_when_asked(bayplan, tmp_path):
    bayplan.environment["BAYPLAN_SECRETS_ROOT"] = str(tmp_path / "none")
    for verb, head in LISTS.items():
        assert bayplan(*verb) == f"{head}\n", verb
        assert bayplan(*verb, "-q") == "", verb
        assert bayplan(*verb, "--json") == [], verb
    for kind in ("volume", "network"):
        assert bayplan(kind, "ls", "--format", "{{.Name}}") == ""
        assert bayplan(kind, "prune", "--dry-run") == "Nothing to remove.\n"
    assert bayplan("image", "ls", "-q") == "lab/busybox:latest\n"
    bayplan.file.write_text(COMPOSE)
    bayplan("apply")
    head, line = bayplan("volume", "ls").splitlines()
    assert head.index("USED BY") == line.index("bpv-app-1")
    assert bayplan("network", "ls", "-q") == "bpv_default\n"
    assert bayplan("status", "-q").splitlines() == ["bpv_default", "bpv_data", "bpv-app-1"]
    bayplan("kill")
    assert "container bpv-app-1 is not running (start it first)" in bayplan("exec", "app", "true", code=2)


def test_where_nothing_names_a_project_ps_lists_those_of_the_host(bayplan, tmp_path):
    bayplan("apply")
    argv = [sys.executable, "-m", "bayplan"]
    elsewhere = {
        "cwd": tmp_path / "..",
        "env": {**os.environ, **bayplan.environment},
        "capture_output": True,
        "text": True,
    }
    said = subprocess.run([*argv, "ps"], check=True, **elsewhere).stdout.splitlines()
    assert said[0].split() == ["NAME", "IMAGE", "PROJECT", "SERVICE", "STATUS", "PORTS"]
    assert [line.split()[:4] for line in said[1:]] == [
        ["bpv-app-1", "lab/busybox", "bpv", "app"],
        ["bpv-base-1", "lab/busybox", "bpv", "base"],
    ]
    done = subprocess.run([*argv, "status"], check=False, **elsewhere)
    assert (done.returncode, "name one with -f, or the project with -p" in done.stderr) == (2, True)
