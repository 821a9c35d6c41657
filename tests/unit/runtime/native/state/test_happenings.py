"""What happened to containers: one file, begun anew at its cap."""

import os

from bayplan.runtime.native.state import happenings


def test_a_process_that_comes_late_keeps_the_older_file(tmp_path, monkeypatch):
    """Two see that the file is full; only one may put it aside, or the other's rename would lose all of it."""
    monkeypatch.setattr(happenings, "_MOST_BYTES", 10)
    happenings.append(tmp_path, "p", "one", "start")
    file, older = tmp_path / "happenings.jsonl", tmp_path / "happenings.1"
    assert (file.exists(), older.exists()) == (False, True)
    monkeypatch.setattr(happenings, "_MOST_BYTES", 1 << 20)
    happenings.append(tmp_path, "p", "two", "start")
    # Late: it has written into the file that is put aside already.
    monkeypatch.setattr(happenings, "_MOST_BYTES", 10)
    late = os.open(older, os.O_WRONLY | os.O_APPEND)
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", lambda *_: late)
        happenings.append(tmp_path, "p", "three", "start")
    assert [item[2] for item in happenings.read(tmp_path)] == ["one", "three", "two"]
