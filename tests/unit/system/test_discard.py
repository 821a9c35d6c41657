"""Directories that are set aside are gone at once, and what is in them at the next removal."""

from pathlib import Path

import pytest

from bayplan.system.discard import Discarded


def _tree(path: Path) -> Path:
    (path / "in" / "it").mkdir(parents=True)
    (path / "in" / "file").write_text("x")
    return path


@pytest.mark.parametrize("count", [1, 9, 130])
def test_set_aside_then_removed(tmp_path: Path, count: int) -> None:
    discarded = Discarded(tmp_path)
    for number in range(count):
        discarded.take(_tree(tmp_path / "place"))
        assert not (tmp_path / "place").exists(), number
    discarded.settle()
    assert list(tmp_path.iterdir()) == []


def test_it_is_begun_beside_other_work_and_waited_for(tmp_path: Path) -> None:
    discarded = Discarded(tmp_path)
    for _ in range(9):
        discarded.take(_tree(tmp_path / "place"))
    discarded.begin()
    [program] = discarded._programs
    discarded.settle()
    assert program.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_it_to_the_next(tmp_path: Path) -> None:
    Discarded(tmp_path).take(_tree(tmp_path / "place"))
    assert len(list((tmp_path / "discarded").iterdir())) == 1
    Discarded(tmp_path).settle()
    assert list(tmp_path.iterdir()) == []


def test_absent_is_no_error(tmp_path: Path) -> None:
    discarded = Discarded(tmp_path)
    discarded.take(tmp_path / "none")
    discarded.settle()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [1, 9, 130])
def test_links_are_removed_and_never_followed(tmp_path: Path, count: int) -> None:
    kept, discarded = _tree(tmp_path / "kept"), Discarded(tmp_path)
    for _ in range(count):
        place = _tree(tmp_path / "place")
        (place / "link").symlink_to(kept)
        discarded.take(place)
    discarded.settle()
    assert (kept / "in" / "file").read_text() == "x"


def test_a_name_with_a_dash_is_no_option(tmp_path: Path) -> None:
    discarded = Discarded(tmp_path)
    for number in range(6):
        discarded.take(_tree(tmp_path / f"-rf{number}"))
    discarded.settle()
    assert list(tmp_path.iterdir()) == []


def test_the_place_for_it_may_go_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, times = Path.mkdir, []

    def mkdir(path: Path, *given: int, **named: int) -> None:
        made(path, *given, **named)
        if path.name == "discarded":
            times.append(path)
            if len(times) == 1:
                path.rmdir()  # another thread has removed all that was in there

    discarded, place = Discarded(tmp_path), _tree(tmp_path / "place")
    monkeypatch.setattr(Path, "mkdir", mkdir)
    discarded.take(place)
    discarded.settle()
    assert (len(times), list(tmp_path.iterdir())) == (2, [])
