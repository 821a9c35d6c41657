"""The leak checker sees what it is for: a checker that finds nothing would pass every test."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from bayplan.models import Settings
from leaks import leaks, namespace_fds

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def core(tmp_path):
    tag = secrets.token_hex(2)
    return Settings(
        state_root=tmp_path / "state",
        run_root=tmp_path / "run",
        interface_prefix=f"t{tag[:3]}",
        nft_table=f"bayplan_test_{tag}",
        cgroup_parent=f"/bayplan-test-{tag}",
    )


def test_a_clean_core_leaks_nothing(core):
    assert leaks(core) == []


def test_a_mount_is_found(core):
    core.run_root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", core.run_root], check=True)
    try:
        assert leaks(core) == [f"mount {core.run_root}"]
    finally:
        subprocess.run(["umount", core.run_root], check=True)


def test_a_link_is_found(core):
    name = f"{core.interface_prefix}0"
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    try:
        assert leaks(core) == [f"link {name}"]
    finally:
        subprocess.run(["ip", "link", "del", name], check=True)


def test_an_nft_table_is_found(core):
    subprocess.run(["nft", "add", "table", "inet", core.nft_table], check=True)
    try:
        assert leaks(core) == [f"nft table {core.nft_table}"]
    finally:
        subprocess.run(["nft", "delete", "table", "inet", core.nft_table], check=True)


def test_a_process_is_found(core):
    code = "import sys; print(flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", code, str(core.run_root)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert [item.split(":")[0] for item in leaks(core)] == [f"process {process.pid}"]
        process.stdin.close()


def test_an_open_namespace_is_found():
    before = namespace_fds()
    with Path("/proc/self/ns/net").open("rb") as file:
        assert [item.rsplit(" ", 1)[1] for item in namespace_fds() - before] == [str(file.fileno())]
