"""CIS Docker Benchmark 1.6, section 5 (run time): a container that declares nothing, as the kernel has it.

Each test names its items. Left out are those that no default can meet: 5.7 and 5.24 (what is run in it), 5.8, 5.9 and
5.14 (ports are declared, and shown as an exposure), 5.11 and 5.12 (how much it needs), 5.13, 5.15 and 5.27 (declared),
5.28 (pull policy), and 5.2 and 5.3 (docs/security.md).
"""

import os
import stat
from pathlib import Path

import pytest

from bayplan.models import Container
from bayplan.reconcile.risks import risks_of
from bayplan.runtime.native.containers.spec import isolation
from bayplan.system import cgroups
from containers import proc, status_of

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def pid(host):
    return host.pid(host.start("a", "/bin/sleep", "60"))


def test_capabilities_filter_and_new_privileges(pid):
    """5.4, 5.5, 5.22, 5.23, 5.26."""
    status = status_of(pid)
    names = {
        name for number, name in enumerate(isolation.CAPABILITY_NUMBERS) if int(status["CapBnd"], 16) >> number & 1
    }
    assert names <= isolation.DEFAULT_CAPABILITIES
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")


@pytest.mark.parametrize("name", ["net", "pid", "ipc", "uts", "mnt", "cgroup"])
def test_no_namespace_is_the_host_s(pid, name):
    """5.10, 5.16, 5.17, 5.21. 5.31: the user namespace is the host's only where nothing else is asked for."""
    assert proc(pid, f"ns/{name}").readlink() != Path(f"/proc/self/ns/{name}").readlink()


def test_no_device_and_no_directory_of_the_host(host, pid):
    """5.6, 5.18, 5.32: /dev holds what every container has."""
    there = {item.name for item in proc(pid, "root/dev").iterdir() if not item.is_symlink()}
    assert there == {"full", "mqueue", "null", "pts", "random", "shm", "tty", "urandom", "zero"}
    rows = [line.split() for line in proc(pid, "mountinfo").read_text().splitlines()]
    ours = (str(host.settings.run_root), str(host.settings.state_root))
    kinds = {row[row.index("-") + 1] for row in rows}
    of_the_host = [row[4] for row in rows if row[row.index("-") + 1] not in KINDS and not row[3].startswith(ours)]
    hidden = set(isolation.guarded_paths(Container(name="a", image="b"))[0])  # shown as an empty device
    assert (kinds >= {"overlay", "proc", "sysfs"}, set(of_the_host) - NAMES - hidden) == (True, set())
    assert not [item for item in proc(pid, "root").rglob("*.sock") if stat.S_ISSOCK(item.lstat().st_mode)]


KINDS = {"overlay", "proc", "sysfs", "devpts", "mqueue", "tmpfs", "cgroup", "cgroup2"}
NAMES = {"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"}


def test_no_mount_passes_to_the_host(pid):
    """5.20."""
    rows = [line.split() for line in proc(pid, "mountinfo").read_text().splitlines()]
    assert [row[4] for row in rows if any(field.startswith("shared:") for field in row[6 : row.index("-")])] == []


def test_groups_and_the_most_processes(host):
    """5.19, 5.25, 5.29."""
    made = host.start("a", "/bin/sleep", "60")
    assert host.limit(made, "pids", "pids.max") == "2048"
    lines = [line.split(":", 2) for line in proc(host.pid(made), "cgroup").read_text().splitlines()]
    limiting = {""} if cgroups.is_unified() else {"pids", "memory"}
    assert [path for _, kinds, path in lines if kinds in limiting and made not in path] == []
    mine, its = (Path(f"/proc/{who}/limits").read_text().splitlines()[1:] for who in ("self", host.pid(made)))
    assert mine == its


def test_what_goes_without_is_told_in_the_plan():
    """5.5, 5.6, 5.10, 5.14, 5.16 to 5.18, 5.20 to 5.22, 5.26, 5.32: each is a risk when it is declared."""
    assert list(risks_of(Container(name="a", image="b"))) == []
