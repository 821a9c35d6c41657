"""Files that come with a request: what is missing, what is written, what cannot be asked for."""

import base64
import hashlib
import zlib

import pytest

from bayplan.bridge.rooms import Asked
from bayplan.bridge.sent import Sent, send
from bayplan.errors import DeclarationError
from bayplan.models import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(engine="native", state_root=tmp_path / "state")


def entry(path, text, mode=0o644):
    return {"path": path, "mode": mode, "sha256": hashlib.sha256(text.encode()).hexdigest(), "size": len(text)}


def bring(settings, *texts):
    contents = {
        hashlib.sha256(text.encode()).hexdigest(): base64.b64encode(zlib.compress(text.encode())).decode()
        for text in texts
    }
    send(Asked("send", {"contents": contents}, False, settings, None))


def write(settings, *files):
    sent = Sent({"key": "shop", "files": list(files)}, settings)
    assert sent.missing() == []
    sent.write()
    return sent


def test_only_what_is_lacking_is_asked_for(settings):
    files = [entry("a", "one"), entry("sub/b", "two", 0o755), {"path": "link", "link": "a"}]
    asked = Sent({"key": "shop", "files": files}, settings)
    assert asked.missing() == sorted(item["sha256"] for item in files[:2])
    bring(settings, "one", "two")
    made = write(settings, *files)
    top = made.directory
    assert (top / "link").read_text() == "one"
    assert (top / "sub/b").stat().st_mode & 0o777 == 0o755
    assert not Sent({"key": "shop", "files": files}, settings).changed
    # A content that is there under another name is not asked for, and what is gone is removed with its directory.
    moved = write(settings, entry("a", "two"), {"path": "link", "link": "a"})
    assert (moved.written, moved.removed) == (["a"], ["sub/b"])
    assert (top / "a").read_text() == "two"
    assert not (top / "sub").exists()


def test_what_was_touched_there_is_written_again_and_what_is_not_ours_stays(settings):
    bring(settings, "one")
    top = write(settings, entry("a", "one")).directory
    (top / "theirs").write_text("data of a container")
    (top / "a").write_text("edited")
    again = Sent({"key": "shop", "files": [entry("a", "one")]}, settings)
    assert again.written == ["a"]
    bring(settings, "one")
    again.write()
    assert (top / "a").read_text() == "one"
    assert (top / "theirs").exists()
    again.forget()
    assert not top.exists()


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a//b", ".", "link/x"])
def test_no_path_leaves_the_directory(settings, path):
    files = [{"path": "link", "link": "/etc"}, entry(path, "one")]
    with pytest.raises(DeclarationError, match="no path within"):
        Sent({"key": "shop", "files": files}, settings)


@pytest.mark.parametrize("key", ["", "..", ".waiting", "a/b"])
def test_no_key_names_another_directory(settings, key):
    with pytest.raises(DeclarationError):
        Sent({"key": key, "files": []}, settings)


def test_contents_are_what_they_say(settings):
    packed = base64.b64encode(zlib.compress(b"one")).decode()
    for contents in ({"0" * 64: packed}, {"../x": packed}, {"0" * 64: "nonsense"}):
        with pytest.raises(DeclarationError):
            send(Asked("send", {"contents": contents}, False, settings, None))
