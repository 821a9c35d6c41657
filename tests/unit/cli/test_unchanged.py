"""What an apply with nothing to do is known again by."""

import io
import json
import sys

import pytest

from bayplan.cli import standing, unchanged
from bayplan.system.probes import probe

INSPECTED = {
    "Id": "1",
    "State": {"Status": "running", "Health": {"Status": "healthy", "Log": [{"Start": "12:00"}]}},
    "ExecIDs": ["a"],
    "HostConfig": {"Ulimits": [{"Name": "nofile"}, {"Name": "nproc"}]},
    "Args": ["one", "two"],
}


def same(question, first, second):
    return unchanged.steady(question, json.dumps(first).encode()) == unchanged.steady(
        question, json.dumps(second).encode()
    )


def test_what_changes_by_itself_is_no_change():
    later = json.loads(json.dumps(INSPECTED))
    later["State"]["Health"]["Log"] = [{"Start": "12:10"}]
    later["ExecIDs"] = None
    later["HostConfig"]["Ulimits"].reverse()
    assert same("/v1.41/containers/1/json", INSPECTED, later)
    one, two = {"Id": "1", "Status": "Up 3 minutes"}, {"Id": "2", "Status": "Up 4 minutes"}
    assert same("/v1.41/containers/json?all=true", [one, two], [two, {**one, "Status": "Up 5 minutes"}])
    assert same("/v1.41/info", {"ID": "x", "NGoroutines": 1}, {"ID": "x", "NGoroutines": 2})


@pytest.mark.parametrize(
    "change",
    [
        {"State": {"Status": "exited", "Health": {"Status": "healthy", "Log": []}}},
        {"State": {"Status": "running", "Health": {"Status": "unhealthy", "Log": []}}},
        {"Args": ["two", "one"]},
        {"HostConfig": {"Ulimits": [{"Name": "nofile"}]}},
    ],
)
def test_anything_else_is_one(change):
    assert not same("/v1.41/containers/1/json", INSPECTED, {**INSPECTED, **change})


def test_answers_come_whole_whatever_form_they_have():
    plain = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    chunked = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4;x=y\r\n":1}\r\n0\r\n\r\n'
    stream = io.BytesIO(plain + chunked + plain)
    assert [unchanged._body(stream) for _ in range(3)] == [b"{}", b'{"a":1}', b"{}"]
    with pytest.raises(ValueError, match="no plain answer"):
        unchanged._body(io.BytesIO(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))


def test_a_file_is_heard_of_however_it_is_read(tmp_path):
    for name in ("opened", "listed"):
        (tmp_path / name).mkdir()
    (tmp_path / "opened" / "file").write_text("x")
    watch = standing.Watch()
    try:
        (tmp_path / "opened" / "file").read_text()
        list((tmp_path / "listed").iterdir())
        probe(tmp_path / "nothing").is_file()
        (tmp_path / "written").write_text("x")
    finally:
        watch.over()
    assert {str(tmp_path / "opened" / "file"), str(tmp_path / "opened"), str(tmp_path / "listed")} <= watch.files.keys()
    assert str(tmp_path / "written") not in watch.files
    assert watch.probed == {str(tmp_path / "nothing"): False}
    assert watch.is_plain
    (tmp_path / "opened" / "file").read_text()
    assert len(watch.probed) == 1


@pytest.mark.parametrize("event", [("subprocess.Popen", "git", [], None, None), ("socket.connect", None, ("::1", 443))])
def test_what_cannot_be_asked_again_leaves_no_note(event):
    watch = standing.Watch()
    try:
        sys.audit(*event)
    finally:
        watch.over()
    assert not watch.is_plain


def test_another_command_is_another_place(monkeypatch):
    first = unchanged.place(["apply"])
    assert unchanged.place(["apply"]) == first
    assert unchanged.place(["-p", "x", "apply"]) != first
    monkeypatch.setenv("SOMETHING", "else")
    assert unchanged.place(["apply"]) != first


def test_torn_or_foreign_notes_are_no_notes(monkeypatch, tmp_path):
    monkeypatch.setenv("BAYPLAN_STATE_ROOT", str(tmp_path))
    note = tmp_path / "unchanged" / unchanged.place(["apply"]).rpartition("/")[2]
    note.parent.mkdir()
    for text in ("", "{", "[]", '{"format": 0}', '{"format": 1}', '{"format": 1, "files": 3}'):
        note.write_text(text)
        assert unchanged.recognised(["apply"]) is None
