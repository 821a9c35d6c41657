"""Namespaces of the host and of other containers: the kernel's own numbers are compared."""

import os
import time
from pathlib import Path

import pytest

from bayplan.errors import RuntimeFailureError
from bayplan.runtime.native.containers import joining
from containers import proc

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
KINDS = ("pid", "ipc", "uts", "cgroup", "net", "mnt")


def spaces(pid):
    return {kind: proc(pid, f"ns/{kind}").readlink() for kind in KINDS}


def test_the_usual_one_shares_nothing(host):
    made = host.start("a", "/bin/sleep", "60")
    own, ours = spaces(host.pid(made)), spaces("self")
    assert [kind for kind in KINDS if own[kind] == ours[kind]] == []


@pytest.mark.parametrize("kind", ["pid", "ipc", "uts", "cgroup"])
def test_one_of_the_host_s(host, kind):
    made = host.start("a", "/bin/sleep", "60", **{kind: "host"})
    own, ours = spaces(host.pid(made)), spaces("self")
    assert [name for name in KINDS if own[name] == ours[name]] == [kind]


def test_network_processes_and_shared_memory_of_another(host):
    first = host.start("first", "/bin/sh", "-c", "echo told > /dev/shm/word; exec sleep 60", ipc="shareable")
    while not proc(host.pid(first), "root/dev/shm/word").exists():
        time.sleep(0.01)
    options = {"network_mode": "container:first", "pid": "container:first", "ipc": "container:first"}
    made = host.start(
        "second", "/bin/sh", "-c", "cat /dev/shm/word; ps | grep -c '[s]leep 60'; exec sleep 50", **options
    )
    own, other = spaces(host.pid(made)), spaces(host.pid(first))
    assert [kind for kind in KINDS if own[kind] == other[kind]] == ["pid", "ipc", "net"]
    while len(list(host.containers.logs(made))) < 2:
        time.sleep(0.01)
    assert [line.text for line in host.containers.logs(made)] == ["told", "1"]
    hosts = proc(host.pid(made), "root/etc/hosts").read_text()
    assert hosts == (host.containers._paths(first).run / "hosts").read_text()
    declared, process = host.containers.declared(made), host.containers.process(made)
    assert joining.lost(declared, process, host.containers.running) == {}
    host.containers.delete(made)
    host.containers.delete(first)
    assert "first" not in Path("/proc/self/mounts").read_text()


def test_one_whose_owner_started_anew_is_seen(host):
    first = host.start("first", "/bin/sleep", "60", stop_grace_period="100ms")
    made = host.start("second", "/bin/sleep", "60", network_mode="container:first")
    host.containers.stop(first)
    host.containers.start(first, None, {})
    lost = joining.lost(host.containers.declared(made), host.containers.process(made), host.containers.running)
    assert lost == {"no longer shares the network namespace of container first": "network"}


def test_an_owner_that_does_not_run_is_told(host):
    host.create("first", "/bin/sleep", "60")
    with pytest.raises(RuntimeFailureError, match="container first, whose network namespace is shared, does not run"):
        host.start("second", "/bin/sleep", "60", network_mode="container:first")


def test_no_shared_memory(host):
    assert host.output("a", "ls /dev/shm 2>/dev/null || echo none", ipc="none") == ["none"]
