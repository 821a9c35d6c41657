"""Limits as the kernel has them, and changes of them on what runs."""

import os
from pathlib import Path

import pytest

from bayplan.errors import BayplanError
from bayplan.models import Container
from bayplan.runtime.native.options import check_options
from bayplan.system import cgroups
from containers import proc

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
V1 = not cgroups.is_unified()
MIB = 1 << 20


def test_memory_and_swap_and_a_change_of_them_in_place(host):
    made = host.start("a", "/bin/sleep", "60", resources={"memory": 64 * MIB, "memory_swap": 96 * MIB})
    pid = host.pid(made)
    limit, swap = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes") if V1 else ("memory.max", "memory.swap.max")
    assert host.limit(made, "memory", limit) == str(64 * MIB)
    assert host.limit(made, "memory", swap) == str(96 * MIB if V1 else 32 * MIB)
    host.edit(made, resources={"memory": 128 * MIB, "memory_swap": 256 * MIB})
    assert host.limit(made, "memory", limit) == str(128 * MIB)
    host.edit(made, resources={"memory": 32 * MIB})
    assert host.limit(made, "memory", limit) == str(32 * MIB)
    assert host.limit(made, "memory", swap) == (str(32 * MIB) if V1 else "0")
    host.edit(made, resources={})
    unlimited = host.limit(made, "memory", limit)
    assert unlimited == "max" or int(unlimited) > 1 << 60
    assert host.pid(made) == pid


def test_cpu_time_weight_and_processors(host):
    made = host.start("a", "/bin/sleep", "60", resources={"cpus": 0.5, "cpu_shares": 512, "cpuset": "0"})
    quota = "cpu.cfs_quota_us" if V1 else "cpu.max"
    cpus = "cpuset.cpus"
    assert host.limit(made, "cpu", quota).split()[0] == "50000"
    assert host.limit(made, "cpuset", cpus) == "0"
    if V1:
        assert host.limit(made, "cpu", "cpu.shares") == "512"
    host.edit(made, resources={"cpu_quota": 20000, "cpu_period": 40000})
    assert host.limit(made, "cpu", quota).split()[0] == "20000"
    assert host.limit(made, "cpuset", cpus) == cgroups.all_of_cpuset("cpus")
    host.edit(made, resources={})
    assert host.limit(made, "cpu", quota).split()[0] in ("-1", "max")
    if V1:
        assert host.limit(made, "cpu", "cpu.shares") == "1024"


def test_pids_go_and_come(host):
    made = host.start("a", "/bin/sleep", "60", resources={"pids": 20})
    host.edit(made, resources={})
    assert host.limit(made, "pids", "pids.max") == "2048"
    host.edit(made, resources={"pids": -1})
    assert host.limit(made, "pids", "pids.max") == "max"
    host.edit(made, resources={"pids": 7})
    assert host.limit(made, "pids", "pids.max") == "7"


@pytest.mark.skipif(not V1, reason="of cgroup v1")
def test_swappiness_and_waiting_instead_of_dying(host):
    made = host.start(
        "a", "/bin/sleep", "60", resources={"memory": 64 * MIB, "memory_swappiness": 5, "oom_kill_disable": True}
    )
    assert host.limit(made, "memory", "memory.swappiness") == "5"
    assert "oom_kill_disable 1" in host.limit(made, "memory", "memory.oom_control")
    host.edit(made, resources={"memory": 64 * MIB})
    assert host.limit(made, "memory", "memory.swappiness") == str(cgroups.host_swappiness())
    assert "oom_kill_disable 0" in host.limit(made, "memory", "memory.oom_control")


def disk():
    found = [path for path in sorted(Path("/sys/block").iterdir()) if Path("/dev", path.name).is_block_device()]
    return found[0] if found else pytest.skip("no block device")


def test_rates_of_a_block_device(host):
    device = disk()
    number = (device / "dev").read_text().strip()
    rate = {"path": f"/dev/{device.name}", "rate": "2m"}
    made = host.start("a", "/bin/sleep", "60", resources={"blkio": {"read_bps": (rate,)}})
    file = "blkio.throttle.read_bps_device" if V1 else "io.max"
    assert number in host.limit(made, "blkio", file)
    assert str(2 * MIB) in host.limit(made, "blkio", file)
    host.edit(made, resources={})
    assert str(2 * MIB) not in host.limit(made, "blkio", file)


def test_limits_of_processes_and_shared_memory(host):
    options = {"ulimits": {"nofile": {"soft": 100, "hard": 200}}, "shm_size": 3 * MIB}
    made = host.start("a", "/bin/sleep", "60", **options)
    assert "Max open files            100                  200" in proc(host.pid(made), "limits").read_text()
    assert "size=3072k" in proc(host.pid(made), "mounts").read_text()


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"cpuset": "0-4000"}, "cpuset 0-4000: this host has"),
        ({"cpus": 4000}, "cpus 4000: this host has"),
        ({"blkio": {"read_bps": ({"path": "/dev/no-such-disk", "rate": 1},)}}, "/dev/no-such-disk"),
        ({"blkio": {"read_bps": ({"path": "/dev/null", "rate": 1},)}}, "no block device"),
    ],
)
def test_what_this_host_cannot_honour_is_refused(tmp_path, resources, message):
    """Fault row 34."""
    with pytest.raises(BayplanError, match=message) as caught:
        check_options(Container(name="a", image="x", resources=resources), tmp_path)
    assert str(caught.value.where) == "container a"


def test_a_missing_controller_is_named(tmp_path, monkeypatch):
    """Fault row 34."""
    monkeypatch.setattr(cgroups, "controllers", lambda: frozenset({"memory"}))
    with pytest.raises(BayplanError, match="pids needs the cgroup controller pids"):
        check_options(Container(name="a", image="x", resources={"pids": 5}), tmp_path)
