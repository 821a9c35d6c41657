"""Copies beneath a root whose directories are swapped for links to a decoy tree all the while (CVE-2018-15664)."""

import io
import os
import stat
import tarfile
import threading

import pytest

from bayplan.errors import BayplanError, DeclarationError
from bayplan.system import copying


@pytest.fixture
def world(tmp_path):
    root, decoy = tmp_path / "root", tmp_path / "decoy"
    (root / "swap").mkdir(parents=True)
    decoy.mkdir()
    (root / "swap/secret").write_text("mine")
    (decoy / "secret").write_text("of the host")
    (root / "link").symlink_to(decoy)
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    yield root, decoy, fd
    os.close(fd)


def archive(name, text=b"payload"):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size, info.uid, info.gid = len(text), os.getuid(), os.getgid()
        tar.addfile(info, io.BytesIO(text))
    made.seek(0)
    return made


def test_neither_read_nor_write_leaves_the_root(world):
    root, decoy, fd = world
    ending = threading.Event()

    def swap():
        while not ending.is_set():
            (root / "swap").rename(root / "kept")
            (root / "link").rename(root / "swap")
            (root / "swap").rename(root / "link")
            (root / "kept").rename(root / "swap")

    swapper = threading.Thread(target=swap)
    swapper.start()
    read = written = tries = 0
    try:
        while tries < 1500 or (not (read and written) and tries < 100_000):
            tries += 1
            try:
                sink = io.BytesIO()
                copying.read(fd, "/swap/secret", sink)
                assert b"of the host" not in sink.getvalue()
                read += 1
                copying.write(fd, "/", archive("swap/in"))
                written += 1
            except (BayplanError, OSError):
                continue
    finally:
        ending.set()
        swapper.join()
    assert [item.name for item in decoy.iterdir()] == ["secret"]
    assert read
    assert written


def test_a_link_is_followed_within_the_root_and_copied_as_a_link(world):
    _, decoy, fd = world
    with pytest.raises(BayplanError):
        copying.read(fd, "/link/secret", io.BytesIO())
    sink = io.BytesIO()
    copying.read(fd, "/link", sink)
    sink.seek(0)
    with tarfile.open(fileobj=sink) as tar:
        assert [(item.name, item.linkname) for item in tar] == [("link", str(decoy))]


def test_a_name_that_leads_out_is_refused(world):
    with pytest.raises(DeclarationError, match="leads out"):
        copying.write(world[2], "/", archive("../in"))


def entry(name, kind=tarfile.REGTYPE, link="", text=b""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.uid, info.gid = kind, link, len(text), os.getuid(), os.getgid()
    return info, text


DECOY = "DECOY"
SYM, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize(
    "entries",
    [
        *([entry("a", SYM, way), entry("a/secret", text=b"x")] for way in (DECOY, "../decoy", "/proc/1/root", "../..")),
        [entry("a", SYM, DECOY), entry("b", SYM, "a"), entry("b/secret", text=b"x")],
        [entry("a", SYM, DECOY + "/secret"), entry("a", text=b"x")],
        *(
            [entry("a", HARD, way), entry("a", text=b"x")]
            for way in (DECOY + "/secret", "../decoy/secret", "link/secret")
        ),
        [entry("a", SYM, DECOY), entry("b", HARD, "a/secret")],
        [entry("link", tarfile.DIRTYPE), entry("link/new", text=b"x")],
        [entry("device", tarfile.CHRTYPE)],
        [entry("device", tarfile.BLKTYPE)],
        [entry("pipe", tarfile.FIFOTYPE)],
        [entry("a/../../in", text=b"x")],
        [entry("swap", text=b"x")],
    ],
    ids=lambda entries: "+".join(f"{info.name}>{info.linkname}" for info, _ in entries),
)
def test_no_archive_reaches_out_of_the_directory_it_is_copied_to(world, entries):
    """Attack row "Layers, load, copy", for what ``cp -`` is given; what is refused says which entry."""
    root, decoy, fd = world
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for info, text in entries:
            info.linkname = info.linkname.replace(DECOY, str(decoy))
            tar.addfile(info, io.BytesIO(text))
    made.seek(0)
    name = said = entries[-1][0].name.rpartition("/")[2]
    try:
        copying.write(fd, "/", made)
    except BayplanError as error:
        said = str(error)
    assert name in said
    assert [(item.name, item.read_text()) for item in decoy.iterdir()] == [("secret", "of the host")]
    assert (decoy / "secret").stat().st_nlink == 1
    modes = [item.lstat().st_mode for item in root.rglob("*")]
    assert not any(stat.S_ISCHR(mode) or stat.S_ISBLK(mode) for mode in modes)
