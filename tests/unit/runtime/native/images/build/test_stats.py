import os

import pytest

from bayplan.runtime.native.images.build import files as files_module
from bayplan.runtime.native.images.build import stats as stats_module
from bayplan.runtime.native.images.build.files import Files
from bayplan.runtime.native.images.build.stats import Stats


@pytest.fixture
def context(tmp_path):
    top = tmp_path / "context"
    top.mkdir()
    (top / "a").write_text("1")
    (top / "b").write_text("2")
    return top


def digests(tmp_path, context, *, save=True):
    stats = Stats(tmp_path / "stats", context)
    with Files(context, stats=stats) as files:
        found = {item.name: item.content for item in files.entries("")}
    if save:
        stats.save()
    return found


def test_what_was_not_written_to_is_not_read_again(tmp_path, context, monkeypatch):
    monkeypatch.setattr(stats_module, "_STEP_NS", -(10**12))
    first = digests(tmp_path, context)
    read = []
    monkeypatch.setattr(files_module.os, "read", lambda fd, size, own=os.read: read.append(1) or own(fd, size))
    assert digests(tmp_path, context) == first
    assert read == []
    before = (context / "a").stat()
    (context / "a").write_text("3")  # the same size, and then the same time of writing
    os.utime(context / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    second = digests(tmp_path, context)
    assert (second["a"] != first["a"], second["b"] == first["b"], len(read)) == (True, True, 2)
    (context / "b").replace(context / "a")
    assert digests(tmp_path, context)["a"] == first["b"]


def test_what_was_written_just_now_is_read_again(tmp_path, context):
    digests(tmp_path, context)
    assert digests(tmp_path, context, save=False) == digests(tmp_path, context, save=False)
    assert not (tmp_path / "stats").exists()  # nothing is known for sure


def test_a_damaged_record_is_read_as_none(tmp_path, context, monkeypatch):
    monkeypatch.setattr(stats_module, "_STEP_NS", -(10**12))
    first = digests(tmp_path, context)
    (file,) = (tmp_path / "stats").iterdir()
    for text in ("[1]", "{", '{"a": [1]}', '{"a": 1}'):
        file.write_text(text)
        assert digests(tmp_path, context, save=False) == first
