"""Framed streams and logs, however they are cut."""

import struct

import pytest

from bayplan.runtime.engine_api.logs import _parsed
from bayplan.runtime.engine_api.shown import masked
from bayplan.runtime.engine_api.streams import frames
from bayplan.runtime.engine_api.verbs import _spelled

TIME = b"2024-05-06T07:08:09.123456789Z "


def frame(stream, data):
    return struct.pack(">BxxxL", stream, len(data)) + data


def cut(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 5, 4096])
def test_frames_are_put_together(size):
    data = frame(1, b"out") + frame(2, b"err") + frame(1, b"")
    assert list(frames(cut(data, size), tty=False)) == [(1, b"out"), (2, b"err"), (1, b"")]
    assert b"".join(part for _, part in frames(cut(b"raw", size), tty=True)) == b"raw"


def test_lines_that_came_in_several_messages_are_one():
    data = (
        frame(1, TIME + b"a" * 10)
        + frame(2, TIME + b"between\n")
        + frame(1, TIME + b"b" * 5 + b"\n")
        + frame(1, TIME + b"last")
    )
    lines = list(_parsed(iter(cut(data, 7)), tty=False))
    assert [(line.stream, line.text) for line in lines] == [
        ("stderr", "between"),
        ("stdout", "a" * 10 + "b" * 5),
        ("stdout", "last"),
    ]
    assert lines[0].time.microsecond == 123456


def test_lines_of_a_terminal():
    data = TIME + b"one\r\n" + TIME + b"two\r\n" + b"no time\n"
    assert [line.text for line in _parsed(iter(cut(data, 9)), tty=True)] == ["one\r", "two\r"]


def test_keys_are_told_as_the_engine_spells_them():
    assert _spelled(b"\x10\x11") == "ctrl-p,ctrl-q"
    assert _spelled(b"a\x1d") == "a,ctrl-]"
    assert len(_spelled(b"").split(",")) > 4


def test_an_inspection_is_shown_without_secrets():
    found = {
        "Name": "/x",
        "Config": {
            "Env": ["PATH=/bin", "PASSWORD=swordfish", "EMPTY="],
            "Labels": {"io.bayplan.declaration": '{"environment": {"PASSWORD": "swordfish"}}', "a": "b"},
        },
    }
    shown = masked(found, {"Env": ["PATH=/bin"]})
    assert shown["Config"]["Env"] == ["PATH=/bin", "PASSWORD=***", "EMPTY=***"]
    assert shown["Config"]["Labels"] == {"a": "b"}
    assert "swordfish" not in repr(shown)
