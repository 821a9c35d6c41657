"""Three-way comparison on the real core: what is taken out of the declaration goes back to its default."""

import json
import os
import signal

import pytest
import yaml

from bayplan.system import cgroups
from faults.core import free_port

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

PLAIN = {"image": "lab/busybox", "command": ["sh", "-c", "exec sleep 600"], "stop_grace_period": "0s"}
IN_PLACE = {
    "mem_limit": ("64m", "resources[memory]"),
    "pids_limit": (50, "resources[pids]"),
    "cpus": (0.5, "resources[cpus]"),
    "labels": ({"team": "blue"}, "labels[team]"),
    "restart": ("always", "restart[condition]"),
    "healthcheck": ({"test": ["CMD", "true"], "interval": "1h"}, "healthcheck[test]"),
    "ports": (["127.0.0.1:PORT:7000"], "ports"),
    "networks": ({"default": {"aliases": ["shop"]}, "more": {}}, "networks"),
    "stop_signal": ("SIGUSR1", "stop_signal"),
}
RECREATED = {
    "environment": ({"WORD": "there"}, "environment[WORD]"),
    "user": ("7:8", "user"),
    "hostname": ("chosen", "hostname"),
    "sysctls": ({"net.ipv4.ip_default_ttl": "33"}, "sysctls[net.ipv4.ip_default_ttl]"),
    "read_only": (True, "read_only"),
    "volumes": (["data:/data"], "mounts"),
    "cap_add": (["SYS_NICE"], "cap_add"),
    "ulimits": ({"nofile": 333}, "ulimits[nofile]"),
    "working_dir": ("/bin", "working_dir"),
    "dns": (["192.0.2.1"], "dns"),
    "oom_score_adj": (300, "oom_score_adj"),
}
LOOK = """
echo "env=$WORD user=$(id -u):$(id -g) host=$(cat /etc/hostname) ttl=$(cat /proc/sys/net/ipv4/ip_default_ttl)"
echo "root=$(touch /new 2>/dev/null && echo writable) data=$(ls -d /data 2>/dev/null) dir=$(pwd)"
echo "caps=$(grep CapBnd /proc/self/status) files=$(ulimit -n) oom=$(cat /proc/1/oom_score_adj)"
grep -c 192.0.2.1 /etc/resolv.conf || true
"""


def write(project, service):
    stack = {
        "name": "less",
        "services": {"web": {**PLAIN, **service}},
        "networks": {"more": {}},
        "volumes": {"data": {}},
    }
    project.file.write_text(yaml.safe_dump(stack))


def removed(project, options):
    """Apply with options and without; the container's step of the second plan, and its state with and without."""
    port = free_port()
    given = json.loads(json.dumps({key: value for key, (value, _) in options.items()}).replace("PORT", str(port)))
    write(project, given)
    project("apply")
    with_them = state(project)
    write(project, {})
    steps = json.loads(project("plan", "--json"))["steps"]
    (step,) = (item for item in steps if item["resource"]["kind"] == "container")
    reasons = {field["why"] for field in step["fields"] if field["after"] is None}
    assert reasons == {"removed from the declaration; goes back to its default"}
    project("apply")
    assert "Nothing to do" in project("plan")
    return step, with_them, state(project)


def web(project):
    return next(item for item in json.loads(project("status", "--json")) if item["name"] == "less-web-1")


def state(project):
    """What the kernel has of it: limits of its cgroup, and what it sees itself."""
    found = web(project)
    group = f"{project.settings.cgroup_parent}/{found['id']}"
    files = {
        "memory": ("memory", "memory.max", "memory.limit_in_bytes"),
        "pids": ("pids", "pids.max", "pids.max"),
        "cpu": ("cpu", "cpu.max", "cpu.cfs_quota_us"),
    }
    limits = {name: cgroups.read(group, *file).split()[0] for name, file in files.items()}
    shown = json.loads(project("inspect", "less-web-1"))[0]
    return {
        **limits,
        "pid": found["pid"],
        "ports": found["ports"],
        "networks": sorted(found["addresses"]),
        "health": found["health"],
        "team": shown["Config"]["Labels"].get("team"),
        "inside": project("exec", "-T", "web", "sh", "-c", LOOK),
    }


def test_what_changes_in_place_goes_back_in_place(project):
    step, before, after = removed(project, IN_PLACE)
    paths = {field["path"] for field in step["fields"]}
    assert {path for _, path in IN_PLACE.values()} <= paths
    assert {field["how"] for field in step["fields"]} == {"in-place"}
    assert (step["action"], after["pid"]) == ("update", before["pid"])
    assert (before["memory"], before["pids"], before["cpu"]) == (str(64 << 20), "50", "50000")
    assert after["memory"] == "max" or int(after["memory"]) > 1 << 60
    assert (after["pids"], after["cpu"] in ("max", "-1")) == ("2048", True)
    assert (before["networks"], after["networks"]) == (["less_default", "less_more"], ["less_default"])
    assert (len(before["ports"]), after["ports"]) == (1, [])
    assert (before["team"], after["team"]) == ("blue", None)
    assert after["health"] == "none"
    os.kill(after["pid"], signal.SIGKILL)
    project("status")
    assert web(project)["state"] == "exited", "its restart policy is the default again"


def test_what_needs_a_new_container_goes_back_with_it(project):
    step, before, after = removed(project, RECREATED)
    paths = {field["path"] for field in step["fields"]}
    assert {path.partition("[")[0] for _, path in RECREATED.values()} <= {path.partition("[")[0] for path in paths}
    assert step["action"] == "re-create"
    assert "env=there user=7:8 host=chosen ttl=33\nroot= data=/data dir=/bin" in before["inside"]
    assert "files=333 oom=300\n1\n" in before["inside"]
    container = web(project)["id"][:12]
    assert f"env= user=0:0 host={container} ttl=64\nroot=writable data= dir=/" in after["inside"]
    assert "files=333" not in after["inside"]
    assert "oom=300" not in after["inside"]
    assert after["inside"].endswith("\n0\n")
    assert before["inside"].split("CapBnd:")[1].split()[0] != after["inside"].split("CapBnd:")[1].split()[0]
