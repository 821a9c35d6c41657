"""cgroup_parent, the OCI runtime and the size of the own layer: kept, or refused when the plan is made."""

import os
import secrets
import subprocess
from pathlib import Path

import pytest

from bayplan.errors import ConflictError, NotFoundError, UnsupportedError
from bayplan.models import Container, Settings
from bayplan.runtime.native.containers import groups, storage
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.options import check_options
from bayplan.system import cgroups, quota
from containers import Host, proc

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def refuse(tmp_path, **options):
    check_options(Container(name="a", image="x", **options), tmp_path)


def there(group):
    return [str(top) for top in cgroups.hierarchies() if (top / group.lstrip("/")).is_dir()]


def test_a_group_below_our_own_goes_with_its_last_container(host):
    made = host.start("a", "/bin/sleep", "60", cgroup_parent="team/one", resources={"pids": 40})
    group = f"{host.settings.cgroup_parent}/team/one/{made}"
    assert group in proc(host.pid(made), "cgroup").read_text()
    assert host.limit(made, "pids", "pids.max") == "40"
    assert [item.pid for item in cgroups.members(group)] == [host.pid(made)]
    host.containers.stop(made)
    assert host.containers.status(made).exit_code == 137
    host.containers.start(made, None, {})
    assert group in proc(host.pid(made), "cgroup").read_text()
    host.containers.delete(made)
    assert there(f"{host.settings.cgroup_parent}/team") == []


def test_a_group_of_the_host_stays(host):
    parent = f"/bayplan-admin-{secrets.token_hex(3)}"
    with pytest.raises(NotFoundError, match="is not there in"):
        groups.check(Container(name="a", image="x", cgroup_parent=parent))
    for top in cgroups.hierarchies():
        (top / parent[1:]).mkdir()
    try:
        groups.check(Container(name="a", image="x", cgroup_parent=parent))
        made = host.start("a", "/bin/sleep", "60", cgroup_parent=parent)
        assert f"{parent}/{made}" in proc(host.pid(made), "cgroup").read_text()
        host.containers.delete(made)
        assert there(f"{parent}/{made}") == []
        assert len(there(parent)) == len(cgroups.hierarchies())
    finally:
        cgroups.remove(parent)


@pytest.mark.parametrize("name", ["monitors", "supervisor/x", "my.slice"])
def test_groups_that_are_not_ours_to_use(tmp_path, name):
    with pytest.raises(ConflictError, match="is not ours to use"):
        refuse(tmp_path, cgroup_parent=name)


@pytest.mark.parametrize("name", ["../x", "a/../b", "", "/", "a//b", ".hidden"])
def test_names_that_lead_elsewhere(name):
    with pytest.raises(ValueError, match="cgroup_parent"):
        Container(name="a", image="x", cgroup_parent=name)


def test_one_runtime_for_a_core(tmp_path):
    refuse(tmp_path, runtime="crun")
    with pytest.raises(UnsupportedError, match="runtime nvidia: containers of this core are run by crun"):
        refuse(tmp_path, runtime="nvidia")
    check_options(Container(name="a", image="x", runtime="runc"), tmp_path, "/usr/sbin/runc")


def test_a_size_without_quotas_is_refused(settings):
    if quota.is_enforced(str(settings.state_root)):
        pytest.skip("this file system has project quotas")
    with pytest.raises(UnsupportedError, match="needs project quotas"):
        storage.check(Container(name="a", image="x", storage_opt={"size": "1m"}), settings.state_root)


@pytest.fixture
def limited(settings, tmp_path, rootfs):
    """A core on a file system with project quotas."""
    image = tmp_path / "image"
    subprocess.run(["truncate", "-s", "64M", str(image)], check=True)
    make = ["mkfs.ext4", "-q", "-O", "quota,project", "-E", "quotatype=prjquota", str(image)]
    subprocess.run(make, check=True)
    place = settings.state_root / "quota"
    place.mkdir()
    done = subprocess.run(["mount", "-o", "loop,prjquota", str(image), str(place)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this kernel has no project quotas on ext4")
    held = Host(Settings(**{**settings.model_dump(), "state_root": place}), rootfs)
    yield held
    held.close()
    subprocess.run(["umount", str(place)], check=True)


def test_no_more_than_its_size(limited):
    wanted = {"storage_opt": {"size": "4m"}}
    storage.check(Container(name="a", image="x", **wanted), limited.settings.state_root)
    script = "head -c 8000000 /dev/zero > /big || echo full; wc -c < /big"
    said = limited.output("a", script, **wanted)
    assert "full" in said
    assert 3 << 20 < int(said[-1]) <= 4 << 20
    (row,) = limited.database.query("SELECT id FROM containers")
    paths = Paths.of(limited.settings, row["id"])
    number = quota.project_of(str(paths.upper))
    assert quota.limit_of(str(limited.settings.state_root), number) == 4 << 20
    limited.containers.delete(row["id"])
    assert quota.limit_of(str(limited.settings.state_root), number) == 0
    assert limited.output("b", "head -c 8000000 /dev/zero > /big && wc -c < /big") == ["8000000"]


def test_it_does_not_outlive_a_kill_between_its_parts(limited):
    """Only the id leads to what a cut create left."""
    made = limited.create("a", "/bin/true", storage_opt={"size": "4m"})
    limited.containers.records.set(made, phase="creating")
    limited.containers.delete(made)
    assert not list(Path(limited.settings.state_root, "containers").iterdir())
