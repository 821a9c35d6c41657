import os
import tarfile

import pytest

from bayplan.errors import UnsupportedError
from bayplan.runtime.native.images.build.layer import pack


def tree(top):
    (top / "d/e").mkdir(parents=True)
    (top / "d/e/file").write_text("x" * 5000)
    os.link(top / "d/e/file", top / "d/hard")
    (top / "d/link").symlink_to("/nowhere")
    (top / ("long" * 40)).write_text("ä")
    return top


def test_the_same_files_give_the_same_bytes(tmp_path):
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    for path in two.rglob("*"):
        os.utime(path, (10**9, 10**9), follow_symlinks=False)
    first, second = (pack(top, tmp_path / f"{top.name}.tar", 5) for top in (one, two))
    assert first == second
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as archive:
        found = {item.name: item for item in archive}
    assert list(found) == sorted(found)
    assert {item.mtime for item in found.values()} == {5}
    assert (found["d/hard"].linkname, found["d/link"].linkname) == ("d/e/file", "/nowhere")
    assert (one / "d/e/file").stat().st_mtime == 5


def test_times_before_the_epoch_stay(tmp_path):
    top = tree(tmp_path / "one")
    os.utime(top / "d/e/file", (3, 3))
    pack(top, tmp_path / "a.tar", 5)
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert archive.getmember("d/e/file").mtime == 3


def test_an_empty_tree_is_known(tmp_path):
    (tmp_path / "e").mkdir()
    assert pack(tmp_path / "e", tmp_path / "a.tar", 0).is_empty


def test_names_that_mean_removal_are_refused(tmp_path):
    top = tree(tmp_path / "one")
    (top / ".wh.x").touch()
    with pytest.raises(UnsupportedError, match=r"\.wh\.x"):
        pack(top, tmp_path / "a.tar", 0)


def test_directories_without_end_are_refused(tmp_path):
    (tmp_path / "one" / "/".join("d" * 320)).mkdir(parents=True)
    with pytest.raises(UnsupportedError, match=r"/d/.* lies more than 300 directories deep"):
        pack(tmp_path / "one", tmp_path / "a.tar", 5)
