"""A corpus of layers made to harm, one for each attack, each beside a canary tree that may not change.

Attacks under "Layers, load, copy": every case is tried with the real unpacking, as root.
"""

import contextlib
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
import zstandard

from bayplan.errors import BayplanError, CorruptStateError, UnsupportedError
from bayplan.runtime.native.images import compression
from bayplan.runtime.native.images.archive import Unpacker
from bayplan.runtime.native.images.compression import Plain
from integration.images.test_pull_unpack import entry, layer

pytestmark = pytest.mark.host
LINK, HARD, DIRECTORY, FIFO = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE


@pytest.fixture
def canary(root):
    """A tree beside the layer, with what an escape would want to change."""
    top = root / "canary"
    (top / "dir").mkdir(parents=True)
    (top / "file").write_text("kept")
    (top / "dir/inner").write_text("kept")
    os.mkfifo(top / "fifo")
    return top


def state(top):
    """All that an attack could change: contents, owners, modes, times, attributes, names."""
    found = {}
    for path in [top, *sorted(top.rglob("*"))]:
        info = path.lstat()
        data = path.read_bytes() if stat.S_ISREG(info.st_mode) else b""
        attributes = {key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path)}
        found[str(path)] = (info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, info.st_nlink, data, attributes)
    return found


def unpack(root, *entries, **limits):
    target = root / "layer"
    target.mkdir()
    fd = os.open(target, os.O_RDONLY)
    try:
        Unpacker(fd, **limits).unpack(io.BytesIO(layer(*entries)))
    finally:
        os.close(fd)
    return target


def way(out):
    """A link that leads out, in each way that has worked somewhere."""
    up = "../" * 20
    return {
        "absolute": [entry("l", LINK, linkname=str(out))],
        "upwards": [
            entry("a/b", DIRECTORY, mode=0o755),
            entry("l", LINK, linkname=up + str(out).lstrip("/")),
        ],
        "chain": [
            entry("x", LINK, linkname="/"),
            entry("y", LINK, linkname="x/../" + up),
            entry("l", LINK, linkname="y" + str(out)),
        ],
        "proc": [entry("l", LINK, linkname=f"/proc/self/root{out}")],
        "cwd": [entry("l", LINK, linkname="/proc/self/cwd/../canary")],
        "dot": [entry("./l/", LINK, linkname=str(out))],
        "long": [entry("l", LINK, linkname="./" * 1000 + up + str(out).lstrip("/"))],
    }


KINDS = sorted(way(Path("/x")))
THROUGH = {
    "a file": [entry("l/file", data=b"changed", mode=0o4777, uid=7)],
    "a directory": [entry("l/dir", DIRECTORY, mode=0o777, uid=7)],
    "new names": [entry("l/new/deep/file", data=b"new")],
    "a link": [entry("l/file", LINK, linkname="/etc/passwd")],
    "a hard link to it": [entry("h", HARD, linkname="l/file"), entry("h", data=b"changed", mode=0o777)],
    "a hard link there": [entry("own", data=b"x"), entry("l/planted", HARD, linkname="own")],
    "a fifo": [entry("l/file", FIFO)],
    "a whiteout": [entry("l/.wh.file"), entry("l/dir/.wh..wh..opq")],
    "the directory itself": [entry("l", DIRECTORY, mode=0o777, uid=7), entry("l/file", data=b"inside")],
    "attributes": [entry("l/dir", DIRECTORY, pax_headers={"SCHILY.xattr.user.x": "y"})],
    "the link replaced": [entry("l", data=b"inside", mode=0o777, uid=7)],
    "a second layer of links": [entry("m", LINK, linkname="l"), entry("m/dir/inner", data=b"changed")],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", sorted(THROUGH))
def test_no_link_leads_out(root, canary, kind, what):
    """Names through links end below the layer's root or are refused (CVE-2025-4330, CVE-2025-4517 in tarfile)."""
    before, ways = state(canary), way(canary)
    with contextlib.suppress(BayplanError):
        unpack(root, *ways[kind], *THROUGH[what])
    assert state(canary) == before


REFUSED = {
    "a name upwards": [entry("../canary/file", data=b"x")],
    "a name upwards inside": [entry("a/../../canary/file", data=b"x")],
    "a hard link upwards": [entry("h", HARD, linkname="../canary/file")],
    "a hard link to an absolute name": [entry("h", HARD, linkname="/canary-of-the-host/file")],
    "a hard link to nothing": [entry("h", HARD, linkname="")],
    "the root as a link": [entry(".", LINK, linkname="/")],
    "the root as a file": [entry("./", data=b"x")],
    "a block device": [entry("d", tarfile.BLKTYPE, devmajor=8)],
    "a character device": [entry("d", tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "a whiteout as a device": [entry("d", tarfile.CHRTYPE)],
    "an unknown type": [entry("v", b"V")],
    "a whiteout of nothing": [entry(".wh.")],
    "a whiteout of the directory": [entry(".wh..")],
    "a whiteout of what lies above": [entry("d/.wh...")],
    "a whiteout of a whiteout": [entry(".wh..wh.x")],
    "a name below a whiteout": [entry(".wh.d/file", data=b"x")],
    "a name below a file": [entry("f", data=b"x"), entry("f/below", data=b"x")],
    "a loop of links": [entry("a", LINK, linkname="b"), entry("b", LINK, linkname="a"), entry("a/x", data=b"x")],
    "a name that is too long": [entry("n" * 300, data=b"x")],
    "a NUL in a name": [entry("n", pax_headers={"path": "a\0b"})],
    "directories without end": [entry("d/" * 600, DIRECTORY)],
    "an owner that means nobody": [entry("o", pax_headers={"uid": str(2**32 - 1)})],
    "an owner below zero": [entry("o", pax_headers={"gid": "-1"})],
    "a time beyond time": [entry("t", pax_headers={"mtime": "9" * 19})],
}


@pytest.mark.parametrize("what", sorted(REFUSED))
def test_what_no_layer_may_hold_is_refused(root, canary, what):
    before = state(canary)
    with pytest.raises((CorruptStateError, UnsupportedError, ValueError)):
        unpack(root, *REFUSED[what])
    assert state(canary) == before


def test_an_absolute_name_lies_in_the_layer(root, canary):
    before = state(canary)
    made = unpack(root, entry(f"{canary}/file", data=b"inside", mode=0o4777, uid=7))
    assert (made / str(canary).lstrip("/") / "file").read_bytes() == b"inside"
    assert state(canary) == before


@pytest.mark.parametrize("order", [1, -1])
def test_a_whiteout_hides_lower_layers_only(root, order):
    """What the same layer brings stays, before and after its whiteout (OCI image specification, "Whiteouts")."""
    entries = [entry("f", data=b"new"), entry(".wh.f")][::order]
    opaque = [entry("d/x", data=b"new"), entry("d/.wh..wh..opq")][::order]
    made = unpack(root, *entries, *opaque)
    assert (made / "f").read_bytes() == b"new"
    assert (made / "d/x").read_bytes() == b"new"
    assert os.getxattr(made / "d", "trusted.overlay.opaque") == b"y"


def test_attributes_of_the_overlay_are_not_taken_from_a_layer(root):
    """A redirect or an opaque mark of its own would show what other layers hide, or hide what they show."""
    marks = {f"SCHILY.xattr.trusted.overlay.{key}": "y" for key in ("opaque", "redirect", "metacopy", "origin")}
    made = unpack(root, entry("d", DIRECTORY, mode=0o755, pax_headers={**marks, "SCHILY.xattr.user.own": "kept"}))
    assert os.listxattr(made / "d") == ["user.own"]


def test_a_directory_held_open_is_not_used_after_a_link_took_its_place(root, canary):
    before = state(canary)
    made = unpack(
        root,
        entry("d/first", data=b"1"),
        entry("d/deep/first", data=b"1"),
        entry("d", LINK, linkname="/other"),
        entry("other/x", data=b"2"),
        entry("d/second", data=b"2"),
    )
    assert (made / "other/second").read_bytes() == b"2"
    assert (made / "d").is_symlink()
    assert state(canary) == before


def test_bombs_are_bounded_in_entries_bytes_and_growth(root, monkeypatch):
    with pytest.raises(CorruptStateError, match="larger than"):
        unpack(root, *(entry(f"{number}") for number in range(11)), max_entries=10)
    (root / "layer").rename(root / "first")
    with pytest.raises(CorruptStateError, match="larger than"):
        unpack(root, entry("a", data=bytes(600)), entry("b", data=bytes(600)), max_bytes=1000)
    monkeypatch.setattr(compression, "_FREE", 1 << 20)
    stream = Plain(io.BytesIO(zstandard.compress(bytes(64 << 20))))
    with pytest.raises(CorruptStateError, match="grow to more than"):
        list(iter(lambda: stream.read(1 << 18), b""))


def test_a_sparse_file_that_claims_all_space_is_refused(root):
    marks = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 60)}
    places = b"1\n0\n1\n".ljust(512, b"\0") + b"x"
    with pytest.raises(CorruptStateError, match="larger than"):
        unpack(root, entry("s", data=places, pax_headers={**marks, "GNU.sparse.name": "s"}))


@pytest.mark.parametrize("what", ["link", "fifo", "directory", "longer"])
def test_a_layout_whose_blobs_are_no_plain_files_is_refused(core, canary, what):
    """A layout is a directory of somebody: its links lead nowhere outside, and what never ends is not read."""
    before, layout = state(canary), core.root / "layout"
    core("image", "save", "--format", "oci-dir", "-o", layout, "lab/busybox")
    core("image", "rm", "lab/busybox")
    largest = max((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    moved = largest.rename(canary.parent / "moved")
    if what == "link":
        largest.symlink_to(moved)
    elif what == "fifo":
        os.mkfifo(largest)
    elif what == "directory":
        largest.mkdir()
    else:
        largest.write_bytes(moved.read_bytes() + b"more")
    core("image", "load", "-i", layout, code=2 if what == "link" else 1)
    assert core("image", "ls", "--json") == []
    assert state(canary) == before
