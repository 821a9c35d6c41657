"""Volumes that are mounts, and content in and out, on the real core by the command."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from bayplan.system.mounts import is_mounted
from faults.core import Core, add_image, layer

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
STACK = """\
name: vol
services:
  app:
    image: lab/busybox
    command: [sleep, "600"]
    stop_grace_period: 0s
    volumes: ["data:/data"]
volumes:
  data: {options}
"""


@pytest.fixture
def core(tmp_path):
    made = Core(tmp_path / "compose.yaml", pool="10.216.0.0/16")
    add_image(made.settings.state_root / "images")
    made.declare = lambda options="{}": made.file.write_text(STACK.replace("{options}", options))
    made.declare()
    made.data = made.settings.state_root / "volumes/vol_data/_data"
    try:
        yield made
        made.call("destroy", "--volumes")
        assert made.left() == []
    finally:
        while is_mounted(made.data):
            subprocess.run(["umount", "-l", made.data], check=True)
        made.remove()


def test_a_directory_of_the_host(core, tmp_path):
    place = tmp_path / "decoy"
    place.mkdir()
    (place / "there").write_text("kept")
    core.declare(f"{{driver: local, driver_opts: {{type: none, o: bind, device: {place}}}}}")
    core.call("apply")
    assert core.call("exec", "-T", "app", "cat", "/data/there") == "kept"
    core.call("exec", "-T", "app", "sh", "-c", "echo new > /data/new")
    assert core.call("apply", "--json")["changed"] is False
    # Taken away by hand it is drift, and comes back.
    subprocess.run(["umount", core.data], check=True)
    assert "it is not mounted" in core.call("plan")
    core.call("apply")
    assert is_mounted(core.data)
    core.call("destroy", "--volumes")
    # The directory is the user's: it goes on.
    assert sorted(item.name for item in place.iterdir()) == ["new", "there"]
    assert not core.data.exists()


def test_memory_shared_by_its_containers(core):
    core.declare('{driver_opts: {type: tmpfs, device: tmpfs, o: "size=1m,mode=700"}}')
    core.call("apply")
    core.call("exec", "-T", "app", "sh", "-c", "echo 1 > /data/f")
    assert (core.data / "f").read_text() == "1\n"
    found = subprocess.run(["findmnt", "-no", "FSTYPE,OPTIONS", core.data], capture_output=True, text=True, check=True)
    assert found.stdout.startswith("tmpfs")
    assert "size=1024k" in found.stdout


def test_one_that_is_a_mount_gets_what_the_image_has(core, tmp_path):
    """Nothing can be renamed onto a mount (EBUSY)."""
    add_image(core.settings.state_root / "images", data=layer(files=[("data/file", b"of the image")]))
    place = tmp_path / "decoy"
    place.mkdir()
    core.declare(f"{{driver: local, driver_opts: {{type: none, o: bind, device: {place}}}}}")
    core.call("apply")
    assert core.call("exec", "-T", "app", "cat", "/data/file") == "of the image"
    assert (place / "file").read_text() == "of the image"
    assert sorted(item.name for item in core.data.parent.iterdir()) == ["_data", "card.json"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{driver_opts: {type: none, o: bind, device: /no/such/place}}", "device /no/such/place is no directory"),
        ("{driver_opts: {type: none, o: bind, device: relative}}", "device relative of a bind is no absolute path"),
        ("{driver_opts: {size: 1g}}", "a size needs project quotas"),
        ("{driver_opts: {type: tmpfs}}", "driver options need a device"),
        ('{driver_opts: {type: cifs, device: "//h/s", o: "username=a,password=b"}}', "name a file with credentials="),
    ],
)
def test_what_cannot_be_mounted_is_refused_before_anything(core, options, said):
    core.declare(options)
    assert said in core.call("apply", code=2)
    assert core.query("SELECT * FROM volumes") == []
    core.declare()  # one that destroy can read


def test_a_share_that_is_not_there_fails_with_the_words_of_mount(core):
    core.declare("{driver_opts: {type: no-such-fs, device: nowhere}}")
    assert "cannot be mounted" in core.call("apply", code=1)
    core.declare()
    core.call("destroy", "--volumes")


def test_content_goes_out_and_comes_back(core, tmp_path):
    core.call("apply")
    core.call(
        *("exec", "-T", "app", "sh", "-c"),
        "echo one > /data/one; : > /data/.wh.name; echo two > /data/two; true",
    )
    os.chown(core.data / "one", 1234, 4321)
    (core.data / "two").chmod(0o4750)
    (core.data / "link").symlink_to("/one")
    archive = tmp_path / "data.tar"
    core.call("volume", "export", "vol_data", "-o", str(archive))
    assert "used by vol-app-1" in core.call("volume", "import", "vol_data", str(archive), code=2)
    core.call("destroy")
    assert "not empty" in core.call("volume", "import", "vol_data", str(archive), code=2)
    (core.data / "later").touch()
    core.call("volume", "import", "--replace", "vol_data", str(archive))
    assert sorted(item.name for item in core.data.iterdir()) == [".wh.name", "link", "one", "two"]
    found = (core.data / "one").stat()
    assert (found.st_uid, found.st_gid, (core.data / "two").stat().st_mode & 0o7777) == (1234, 4321, 0o4750)
    assert (core.data / "link").readlink() == Path("/one")


def test_a_broken_or_hostile_archive_changes_nothing(core, tmp_path):
    core.call("apply")
    core.call("destroy")
    (core.data / "kept").write_text("x")
    broken = tmp_path / "broken.tar"
    broken.write_bytes(b"no archive" * 100)
    core.call("volume", "import", "--replace", "vol_data", str(broken), code=1)
    decoy = tmp_path / "decoy"
    decoy.mkdir()
    hostile = tmp_path / "hostile.tar"
    with tarfile.open(hostile, "w") as tar:
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, str(decoy)
        tar.addfile(link)
        inside = tarfile.TarInfo("out/written")
        inside.size = 1
        tar.addfile(inside, io.BytesIO(b"x"))
    core.start("volume", "import", "--replace", "vol_data", str(hostile)).wait()
    assert list(decoy.iterdir()) == []
    core.start("volume", "import", "--replace", "vol_data", str(broken)).wait()
    assert not list(core.data.parent.glob("_import*"))


def test_a_killed_import_loses_nothing(core, tmp_path):
    """Fault row 1."""
    core.call("apply")
    core.call("destroy")
    (core.data / "kept").write_text("x")
    # The moment between the two renames.
    core.data.rename(core.data.with_name("_import-old-1"))
    core.data.with_name("_import-2").mkdir()
    assert "its directory is gone" in core.call("plan")
    core.call("apply")
    assert (core.data / "kept").read_text() == "x"
    assert not list(core.data.parent.glob("_import*"))


def test_unused_volumes_are_listed_and_just_those_removed(core):
    core.call("apply")
    assert core.call("volume", "rm", "vol_data", code=2).count("used by containers vol-app-1") == 1
    assert core.call("volume", "prune", "--all", "--dry-run", "--json")["unused"] == []
    core.call("destroy")
    # One with a name waits for its stack.
    assert core.call("volume", "prune", "--force", "--json")["removed"] == []
    assert core.data.is_dir()
    (found,) = core.call("volume", "ls", "--json")
    assert (found["name"], found["users"], found["project"]) == ("vol_data", [], "vol")
    assert core.call("volume", "inspect", "vol_data", "--json")[0]["driver"] == "local"
    assert core.call("volume", "prune", "--all", "--dry-run") == "vol_data\n"
    assert "--force removes them" in core.call("volume", "prune", "-a", code=2)
    assert core.data.is_dir()
    assert core.call("volume", "prune", "-a", "--force", "--json")["removed"] == ["vol_data"]
    assert not core.data.exists()
    assert "does not exist" in core.call("volume", "rm", "vol_data", code=2)


def test_a_volume_that_nobody_named_is_pruned(core):
    core.file.write_text(core.file.read_text().replace('"data:/data"', '"data:/data", /scratch'))
    core.call("apply")
    core.call("destroy")
    (nameless,) = core.call("volume", "prune", "--dry-run", "--json")["unused"]
    assert nameless != "vol_data"
    assert core.call("volume", "prune", "--force", "--json")["removed"] == [nameless]
    assert [item["name"] for item in core.call("volume", "ls", "--json")] == ["vol_data"]
