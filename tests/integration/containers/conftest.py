"""A core of its own for each test: roots, cgroup parent; and a root file system of static busybox."""

import secrets
import shutil
from pathlib import Path

import pytest

from bayplan.models import Settings
from bayplan.system import cgroups
from bayplan.system.discard import Discarded
from containers import Host

BUSYBOX = Path("/bin/busybox")


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory):
    """A directory that serves as the one layer of an image."""
    top = tmp_path_factory.mktemp("busybox")
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "var"):
        (top / name).mkdir()
    shutil.copy2(BUSYBOX, top / "bin/busybox")
    programs = "sh sleep cat id echo env head true false mount unshare touch ls stat wc hostname ps grep mknod kill tty"
    for name in programs.split():
        (top / "bin" / name).symlink_to("busybox")
    (top / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n")
    (top / "etc/group").write_text("root:x:0:\napp:x:1000:\nextra:x:2000:app\n")
    return top


@pytest.fixture
def settings():
    """Roots nobody else uses; whatever a test leaves there fails it."""
    tag = secrets.token_hex(4)
    state, run = Path(f"/var/lib/bayplan-tests/{tag}"), Path(f"/run/bayplan-tests/{tag}")
    made = Settings(state_root=state, run_root=run, cgroup_parent=f"/bayplan-test-{tag}")
    state.mkdir(parents=True)
    run.mkdir(parents=True)
    yield made
    Discarded(run, state).settle()  # as the host's lock does at the end of a change
    left_aside = [top / "discarded" for top in (state, run) if (top / "discarded").exists()]
    mounts = Path("/proc/self/mounts").read_text()
    left = [line for line in mounts.splitlines() if tag in line]
    # A monitor that ends by itself may be at its last instructions.
    running = tuple(item for item in cgroups.members(made.cgroup_parent) if not item.wait(5))
    containers = [item for top in (state, run) for item in (top / "containers").glob("*")]
    for process in running:
        process.send(9)
    cgroups.remove(made.cgroup_parent)
    shutil.rmtree(state)
    shutil.rmtree(run)
    assert left == []
    assert running == ()
    assert containers == left_aside == []


@pytest.fixture
def host(settings, rootfs):
    held = Host(settings, rootfs)
    yield held
    held.close()
