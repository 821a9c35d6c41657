"""Copies beneath a root whose directories are swapped for links to a decoy tree all the while (CVE-2018-15664)."""

import io
import os
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
