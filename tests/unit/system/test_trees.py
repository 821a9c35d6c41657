"""Directories removed whatever is in them."""

import os
from pathlib import Path

import pytest

from bayplan.system import mounts, namespaces, trees


def nested(top: Path, depth: int) -> None:
    """Directories in each other, far deeper than a path may be long; a file and a link in each."""
    top.mkdir()
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=fd))
        os.symlink("/", "link", dir_fd=fd)
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


@pytest.mark.parametrize("depth", [0, 63, 64, 65, 129, 3000])
def test_any_depth(tmp_path: Path, depth: int) -> None:
    nested(tmp_path / "top", depth)
    trees.remove(tmp_path / "top")
    assert list(tmp_path.iterdir()) == []


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    (tmp_path / "top").mkdir()
    (tmp_path / "top/link").symlink_to(tmp_path / "kept")
    trees.remove(tmp_path / "top")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        trees.remove(tmp_path / "link")
    assert (tmp_path / "kept/file").exists()


def test_what_is_absent(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        trees.remove(tmp_path / "none")
    trees.remove(tmp_path / "none", ignore_errors=True)


@pytest.mark.host
def test_what_is_mounted_in_it_stays(tmp_path: Path) -> None:
    (tmp_path / "top/a").mkdir(parents=True)

    def body() -> None:
        mounts.mount("tmpfs", str(tmp_path / "top/a"), "tmpfs")
        (tmp_path / "top/a/data").touch()
        with pytest.raises(OSError, match="something is mounted there"):
            trees.remove(tmp_path / "top")
        assert (tmp_path / "top/a/data").exists()

    namespaces.in_private_mounts(body)
