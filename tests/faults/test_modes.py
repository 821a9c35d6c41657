"""Directories 0700 and files 0600, whatever the umask and whoever made the roots; containers see what they must."""

import os
import stat
import subprocess

import pytest

from faults.core import small_core

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
STACK = """\
name: modes
services:
  app:
    image: lab/busybox
    user: "1000"
    command: [sh, -c, 'echo up; exec sleep 600']
    network_mode: none
    stop_grace_period: 50ms
    volumes: ["data:/data", {type: tmpfs, target: /a/b/c}]
    healthcheck: {test: [CMD, echo], interval: 50ms}
    secrets: [token]
secrets: {token: {environment: TOKEN}}
volumes: {data: {}}
"""


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def open_to_others(top):
    """What others can come to and read or write: directories that they cannot pass hide what is in them."""
    found = []
    for base, directories, files in os.walk(top):
        for name in (*directories, *files):
            path = os.path.join(base, name)  # noqa: PTH118 - short
            mode = os.lstat(path).st_mode
            if mode & (0o022 if stat.S_ISDIR(mode) else 0o066):
                found.append((oct(mode), path))
        directories[:] = [name for name in directories if os.lstat(f"{base}/{name}").st_mode & 0o011]
        directories[:] = [name for name in directories if name != "mountpoints"]  # empty files of no container
    return found


def test_nobody_else_can_look_in_or_write(tmp_path, umask):
    """CVE-2021-41091: programs with set-user-id bits in volumes, below directories that any user could pass."""
    with small_core(tmp_path, STACK) as core:
        core.variables["TOKEN"] = "hidden"
        for top in (core.settings.state_root, core.settings.run_root):
            top.mkdir(parents=True, exist_ok=True)
            top.chmod(0o755)
            (top / "containers").mkdir(exist_ok=True)
            (top / "containers").chmod(0o755)
        core.call("apply")
        assert open_to_others(core.settings.state_root) == []
        assert open_to_others(core.settings.run_root) == []
        volume = core.settings.state_root / "volumes/modes_data/_data"
        (volume / "program").write_text("x")
        (volume / "program").chmod(0o4755)
        for path in (volume / "program", next((core.settings.state_root / "layers").iterdir())):
            tried = ["setpriv", "--reuid=65534", "--clear-groups", "stat", str(path)]
            assert "Permission denied" in subprocess.run(tried, capture_output=True, text=True, check=False).stderr
        assert "up" in core.call("logs", "app")
        for path in ("/", "/data", "/a/b"):
            core.call("exec", "-T", "app", "sh", "-c", f"cd {path}")
