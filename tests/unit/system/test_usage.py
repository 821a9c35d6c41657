"""cgroup files of both versions, read from a tree like the kernel's."""

import pytest

from bayplan.system import cgroups, freezer, usage


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)

    def put(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return put


def test_v2(tree):
    tree(cgroup_dot_controllers="", a__cpu_dot_stat="usage_usec 5\nuser_usec 3\n")
    tree(a__memory_dot_current="1000\n", a__memory_dot_max="max\n", a__memory_dot_stat="inactive_file 400\n")
    tree(a__io_dot_stat="8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=5 wbytes=0\n", a__pids_dot_current="3\n")
    tree(a__pids_dot_max="9\n")
    assert usage.read("/a") == usage.Usage(5000, 600, None, 15, 20, 3, 9)


def test_v1(tree):
    tree(cpuacct__a__cpuacct_dot_usage="5000\n", memory__a__memory_dot_usage_in_bytes="1000\n")
    tree(memory__a__memory_dot_limit_in_bytes="9223372036854771712\n", pids__a__pids_dot_max="max\n")
    tree(blkio__a__blkio_dot_throttle_dot_io_service_bytes_recursive="8:0 Read 10\n8:0 Write 20\nTotal 30\n")
    assert usage.read("/a") == usage.Usage(5000, 1000, None, 10, 20, 0, None)


def test_a_group_that_is_gone_uses_nothing(tree):
    assert usage.read("/gone") == usage.Usage()
    assert not freezer.is_frozen("/gone")
    freezer.thaw("/gone")


def test_the_freezer_of_v2(tree, tmp_path):
    tree(cgroup_dot_controllers="", a__cgroup_dot_freeze="0\n", a__cgroup_dot_events="populated 1\nfrozen 1\n")
    freezer.freeze("/a")
    assert (tmp_path / "a/cgroup.freeze").read_text() == "1"
    assert freezer.is_frozen("/a")
    freezer.thaw("/a")
    assert (tmp_path / "a/cgroup.freeze").read_text() == "0"
