"""Volumes that may hold only so much, on file systems made for it; skipped where the kernel has no project quotas."""

import os
import secrets
import subprocess
from pathlib import Path

import pytest

from bayplan.errors import UnsupportedError
from bayplan.models import Settings, Volume
from bayplan.runtime.native.state import Database
from bayplan.runtime.native.volumes import Volumes, sizes
from bayplan.system import quota

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
MAKE = {
    "ext4": ("64M", ["mkfs.ext4", "-q", "-O", "quota,project", "-E", "quotatype=prjquota"]),
    "xfs": ("320M", ["mkfs.xfs", "-q"]),
}


@pytest.fixture(params=sorted(MAKE))
def volumes(request, tmp_path):
    size, make = MAKE[request.param]
    image, place = tmp_path / "image", Path(f"/var/lib/bayplan-tests/q{secrets.token_hex(3)}")
    subprocess.run(["truncate", "-s", size, str(image)], check=True)
    try:
        subprocess.run([*make, str(image)], check=True)
    except FileNotFoundError:
        pytest.skip(f"{make[0]} is not installed")
    place.mkdir(parents=True)
    argv = ["mount", "-o", "loop,prjquota", str(image), str(place)]
    if subprocess.run(argv, capture_output=True, check=False).returncode:
        place.rmdir()
        pytest.skip(f"this kernel has no project quotas on {request.param}")
    database = Database(place / "state.db")
    try:
        yield Volumes(Settings(state_root=place), database)
    finally:
        database.close()
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


def test_no_more_than_its_size(volumes):
    wanted = Volume(name="v", driver_opts={"size": "4m"})
    volumes.check(wanted)
    volumes.create(wanted, "p")
    data = volumes.path("v")
    data.chmod(0o777)
    # As a container does it: whoever has CAP_SYS_RESOURCE goes beyond the limit on ext4.
    write = ["setpriv", "--reuid=65534", "--clear-groups", "dd", "if=/dev/zero", "bs=1M"]
    # From within: no user passes the directory of the volumes.
    subprocess.run([*write, "of=some", "count=2"], check=True, capture_output=True, cwd=data)
    more = subprocess.run([*write, "of=more", "count=4"], check=False, capture_output=True, text=True, cwd=data)
    assert "quota" in more.stderr.lower() or "space" in more.stderr.lower()
    found = os.statvfs(data)
    assert found.f_blocks * found.f_frsize == 4 << 20
    (item,) = volumes.observe("p")
    assert item.defects == {}


def test_one_that_lost_its_limit_is_drift_and_goes_without_a_trace(volumes):
    volumes.create(Volume(name="v", driver_opts={"o": "size=4m"}), "p")
    top, number = volumes.path("v").parent, quota.project_of(str(volumes.path("v").parent))
    quota.limit(str(top), number, 0)
    assert volumes.observe("p")[0].defects == {"its size is not limited": "in-place"}
    volumes.heal("v")
    assert volumes.observe("p")[0].defects == {}
    volumes.delete("v")
    assert quota.limit_of(str(volumes.root), number) == 0


def test_where_nothing_counts_it_is_refused_before_any_change():
    with pytest.raises(UnsupportedError, match="a size needs project quotas"):
        Volumes(Settings(state_root=Path("/dev/shm/bayplan-none")), None).check(
            Volume(name="v", driver_opts={"size": "4m"})
        )


@pytest.mark.parametrize(
    "options", [{"size": "4m", "device": "x"}, {"size": "1"}, {"o": "size=4m,uid=1"}, {"size": "x"}]
)
def test_sizes_that_cannot_be(options):
    with pytest.raises(ValueError, match="size"):
        Volume(name="v", driver_opts=options)


def test_the_project_of_an_administrator_keeps_its_limit(tmp_path, monkeypatch):
    """The state root may lie in a project that somebody else limits: directories made in it inherit that one."""
    projects, limits = {str(tmp_path): 42}, {42: 100 << 20}

    def project_of(path):
        return next((projects[one] for one in (path, *map(str, Path(path).parents)) if one in projects), 0)

    monkeypatch.setattr(quota, "project_of", project_of)
    monkeypatch.setattr(quota, "assign", lambda path, number: projects.update({path: number}))
    monkeypatch.setattr(quota, "limit", lambda _, number, size: limits.update({number: size}))
    monkeypatch.setattr(quota, "limit_of", lambda _, number: limits.get(number, 0))
    wanted, top = Volume(name="v", driver_opts={"size": "4m"}), tmp_path / "v"
    top.mkdir()
    assert not sizes.is_kept(wanted, top)
    sizes.forget(top)
    sizes.apply(wanted, top)
    assert limits.pop(42) == 100 << 20
    assert list(limits.values()) == [4 << 20]
    assert sizes.is_kept(wanted, top)
    sizes.forget(top)
    assert list(limits.values()) == [0]
