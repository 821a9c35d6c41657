"""Fault rows 10, 11, 12: a disk that is full, fails, or turned read-only; the state root is a small one of its own."""

import os
import secrets
import subprocess
from pathlib import Path

import pytest

from faults.core import add_image, ask, layer, small_core
from faults.disk import Disk, NoLoopError

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def disk(tmp_path):
    """Where one of 64 MiB is mounted."""
    place = Path(f"/var/lib/bayplan-tests/d{secrets.token_hex(3)}")
    try:
        made = Disk(place, tmp_path / "disk")
        yield place
        made.remove()
    except NoLoopError as error:
        pytest.skip(f"no loop devices: {error}")
    finally:
        place.rmdir()


@pytest.fixture
def core(tmp_path, disk):
    with small_core(tmp_path, state_root=disk / "state", pool="10.220.0.0/16") as made:
        yield made


def fill(place, leave):
    """A file that leaves so many bytes free."""
    file, found = place / "filler", os.statvfs(place)
    left = found.f_bavail * found.f_frsize - leave
    with file.open("wb") as out:
        while left > 0:
            left -= out.write(bytes(min(left, 1 << 20)))
        out.flush()
        os.fsync(out.fileno())
    return file


def fill_up(file):
    """To the last byte."""
    with pytest.raises(OSError, match="No space"), file.open("wb", buffering=0) as out:
        write_for_ever(out)


def write_for_ever(out):
    while True:
        out.write(bytes(1 << 16))


def test_a_disk_that_fills_up_in_the_middle_of_a_change(core, disk):
    """Fault row 10: what runs stays, nothing half made stays, and with room again the same apply goes through."""
    core.call("apply")
    before = core.pids()
    add_image(core.settings.state_root / "images", "lab/large", layer(padding=12 << 20))
    filler = fill(disk, 8 << 20)
    text = core.file.read_text()
    core.file.write_text(text.replace("    image: lab/busybox\n", "    image: lab/large\n"))
    assert "No space left on device" in core.call("apply", code=1)
    assert core.pids() == before
    assert ask(int(core.variables["PORT"])) == b"hello\n"
    assert list(core.settings.state_root.rglob(".part-*")) == []
    # Even the records cannot be written: that is said before anything is touched.
    fill_up(disk / "rest")
    assert "no space is left" in core.call("apply", code=1)
    assert core.pids() == before
    filler.unlink()
    (disk / "rest").unlink()
    core.call("apply")
    assert core.call("apply", "--json")["changed"] is False
    assert ask(int(core.variables["PORT"])) == b"hello\n"


def test_a_disk_that_fails_when_it_is_told_to_keep(core):
    """Fault row 11: EIO of fsync(2) ends the change; asked again it would say yes and have lost the data."""
    archive = core.file.parent / "image.tar"
    core.call("image", "save", "-o", str(archive), "lab/busybox")
    core.call("image", "rm", "lab/busybox")
    once = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1")
    process = core.start("image", "load", "-i", str(archive), command=(*once, *core.command))
    assert process.wait() != 0
    assert "Input/output error" in process.output.read_text()
    assert core.call("image", "ls", "--json") == []
    core.call("image", "load", "-i", str(archive))
    core.call("apply")


def test_a_disk_that_turned_read_only(core, disk):
    """Fault row 12: looking works, changes are refused, what runs is not touched."""
    core.call("apply")
    before = core.pids()
    core.stop_supervisor()
    subprocess.run(["mount", "-o", "remount,bind,ro", str(disk)], check=True)
    try:
        assert core.pids() == before
        core.call("plan")
        assert "shop-store-1" in core.call("ps")
        core.call("logs", "store")
        core.call("inspect", "shop-store-1")
        for verb in (("apply",), ("stop", "web"), ("destroy",)):
            assert "read-only" in core.call(*verb, code=2, GREETING="other").lower()
        assert core.pids() == before
    finally:
        subprocess.run(["mount", "-o", "remount,bind,rw", str(disk)], check=True)
    core.call("apply")
    assert core.call("apply", "--json")["changed"] is False
