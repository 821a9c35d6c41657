"""Directories that are set aside are gone at once, and what is in them at the next removal."""

from pathlib import Path

import pytest

from bayplan.system.discard import remove_aside, set_aside


def _tree(path: Path) -> Path:
    (path / "in" / "it").mkdir(parents=True)
    (path / "in" / "file").write_text("x")
    return path


@pytest.mark.parametrize("count", [1, 9])
def test_set_aside_then_removed(tmp_path: Path, count: int) -> None:
    aside = tmp_path / "aside"
    for number in range(count):
        set_aside(_tree(tmp_path / "place"), aside)
        assert not (tmp_path / "place").exists(), number
    assert len(list(aside.iterdir())) == count
    remove_aside(aside)
    assert list(tmp_path.iterdir()) == []


def test_absent_is_no_error(tmp_path: Path) -> None:
    set_aside(tmp_path / "none", tmp_path / "aside")
    remove_aside(tmp_path / "aside")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [1, 9])
def test_links_are_removed_and_never_followed(tmp_path: Path, count: int) -> None:
    kept = _tree(tmp_path / "kept")
    for _ in range(count):
        place = _tree(tmp_path / "place")
        (place / "link").symlink_to(kept)
        set_aside(place, tmp_path / "aside")
    remove_aside(tmp_path / "aside")
    assert (kept / "in" / "file").read_text() == "x"


def test_a_name_with_a_dash_is_no_option(tmp_path: Path) -> None:
    for number in range(6):
        set_aside(_tree(tmp_path / f"-rf{number}"), tmp_path / "aside")
    remove_aside(tmp_path / "aside")
    assert list(tmp_path.iterdir()) == []
