import os

import pytest

from bayplan.errors import UnsupportedError
from bayplan.runtime.dockerfile.ignore import Ignore
from bayplan.runtime.native.images.build.files import Files, content_key


@pytest.fixture
def top(tmp_path):
    root = tmp_path / "context"
    (root / "d/e").mkdir(parents=True)
    (root / "d/e/f.txt").write_text("f")
    (root / "d/g.log").write_text("g")
    (root / "a.txt").write_text("a")
    (root / "b.txt").write_text("b")
    (tmp_path / "secret").write_text("secret")
    return root


def names(files, path):
    return [item.name for item in files.entries(path)]


def test_directories_come_before_their_content_sorted(top):
    with Files(top) as files:
        assert names(files, "d") == ["", "e", "e/f.txt", "g.log"]
        assert files.match("?.txt") == ("a.txt", "b.txt")
        assert files.match("*/e/*") == ("d/e/f.txt",)
        assert files.match("plain/./path") == ("plain/path",)


def test_what_is_left_out_does_not_exist(top):
    with Files(top, Ignore("**/*.log\nb*\n")) as files:
        assert names(files, "d") == ["", "e", "e/f.txt"]
        assert files.match("*.txt") == ("a.txt",)
        assert not files.exists("b.txt")
    with Files(top, Ignore("d\n!d/e/*.txt\n")) as files:
        assert names(files, "") == ["", "a.txt", "b.txt", "d", "d/e", "d/e/f.txt"]


def test_links_stay_links_below_and_are_followed_inside_the_root_only(top):
    (top / "d/out").symlink_to("../../secret")
    (top / "named").symlink_to("d/e/f.txt")
    (top / "away").symlink_to(top.parent / "secret")
    (top / "up").symlink_to("../secret")
    with Files(top, Ignore("d/g.log")) as files:
        assert {item.name: item.content for item in files.entries("d")}["out"] == "../../secret"
        assert files.entries("named")[0].at == "d/e/f.txt"
        assert files.entries("away") == files.entries("up") == ()
        (top / "hidden").symlink_to("d/g.log")
        assert files.entries("hidden") == ()
        with pytest.raises(ValueError, match="out of the context"):
            files.match("../secret")


def test_the_key_sees_names_modes_and_data_but_no_times(top):
    def key():
        with Files(top) as files:
            return content_key([files.entries("d")])

    first = key()
    for path in top.rglob("*"):
        os.utime(path, (1, 1))
    assert key() == first
    (top / "d/g.log").chmod(0o600)
    second = key()
    (top / "d/g.log").write_text("G")
    third = key()
    (top / "d/g.log").rename(top / "d/h.log")
    assert len({first, second, third, key()}) == 4


def test_a_fifo_is_refused_and_not_opened(top):
    os.mkfifo(top / "d/fifo")
    with Files(top) as files, pytest.raises(UnsupportedError, match="d/fifo"):
        files.entries("d")
