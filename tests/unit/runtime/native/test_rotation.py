"""Files of a log: their order, which of them stay, and readers that go from one into the next."""

import os

import pytest

from bayplan.runtime.native.containers import logs
from bayplan.runtime.native.containers.rotation import files, lost, rotate

LINE = "2025-01-01T00:00:0{}.000000000+00:00 stdout F {}\n"


def test_the_oldest_goes_and_the_rest_is_read_in_order(tmp_path):
    log = tmp_path / "log"
    for number in range(5):
        log.write_text(LINE.format(number, number))
        assert rotate(log, tmp_path / "ctl", 10, 3)
    log.write_text(LINE.format(9, "last"))
    assert [item.name for item in files(log)] == ["log.2", "log.1", "log"]
    assert [line.text for line in logs.read(log)] == ["3", "4", "last"]
    assert [line.text for line in logs.read(log, tail=2)] == ["4", "last"]


def test_a_small_one_and_one_that_was_just_renamed_stay(tmp_path):
    log = tmp_path / "log"
    log.write_text("x")
    assert not rotate(log, tmp_path / "ctl", 10, 3)
    log.rename(tmp_path / "log.1")
    assert not rotate(log, tmp_path / "ctl", 0, 3)
    assert [item.name for item in files(log)] == ["log.1"]


def test_a_monitor_that_was_told_is_not_told_again(tmp_path):
    log, control = tmp_path / "log", tmp_path / "ctl"
    os.mkfifo(control)
    fd = os.open(control, os.O_RDWR | os.O_NONBLOCK)
    try:
        log.write_text("x" * 20)
        assert rotate(log, control, 10, 3)
        assert os.read(fd, 100) == b"2 0 0\n"
        assert not rotate(log, control, 10, 3, told=True)
        with pytest.raises(BlockingIOError):
            os.read(fd, 100)
        assert not rotate(log, control, 10, 3)
        assert os.read(fd, 100) == b"2 0 0\n"
    finally:
        os.close(fd)


def test_what_is_cut_off_for_good_is_counted(tmp_path):
    log = tmp_path / "log"
    for _ in range(5):
        log.write_text("x" * 20)
        rotate(log, tmp_path / "ctl", 10, 2)
    assert lost(log) == 4 * 20
    assert [item.name for item in files(log)] == ["log.1"]


def test_a_follower_goes_on_into_the_new_file(tmp_path):
    log, turns = tmp_path / "log", iter([True, True, False])
    log.write_text(LINE.format(1, "a"))

    def running():
        alive = next(turns)
        if alive:
            with log.open("a") as file:
                file.write(LINE.format(2, "b"))
            rotate(log, tmp_path / "ctl", 1, 5)
            log.write_text(LINE.format(3, "c"))
        return alive

    assert [line.text for line in logs.read(log, follow=True, running=running)] == ["a", "b", "c", "b", "c"]


def test_files_that_get_other_names_while_one_is_read(tmp_path):
    log = tmp_path / "log"
    for name, text in (("log.2", "first"), ("log.1", "second"), ("log", "third")):
        (tmp_path / name).write_text(LINE.format(1, text) * 2)
    lines = logs.read(log)
    assert next(lines).text == "first"
    # In the middle of the oldest file it is removed, and the others move on.
    (tmp_path / "log.2").unlink()
    (tmp_path / "log.1").rename(tmp_path / "log.2")
    log.rename(tmp_path / "log.1")
    log.write_text(LINE.format(2, "fourth"))
    assert [line.text for line in lines] == ["first", "second", "second", "third", "third", "fourth"]
