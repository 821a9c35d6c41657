"""Files copied in and out, and volumes."""

import io
import os
import tarfile

import pytest

from bayplan.errors import ConflictError, NotFoundError
from bayplan.models import labels

QUIET = """
services:
  app:
    image: IMAGE
    command: [sleep, "600"]
    init: true
    volumes: ["data:/data"]
volumes: {data: {}}
"""


@pytest.fixture
def app(real_host):
    real_host.apply(QUIET)
    return real_host


def test_a_file_goes_in_and_comes_out(app, tmp_path):
    name, source = app.name("app"), tmp_path / "source"
    source.write_text("hello\n")
    source.chmod(0o640)
    os.chown(source, 1000, 1000)
    app.runtime.copy_in(name, str(source), "/etc/target", None)
    assert app.sh("app", "cat /etc/target; stat -c '%a %u' /etc/target") == "hello\n640 1000\n"
    app.runtime.copy_in(name, str(source), "/etc", None)
    assert app.sh("app", "cat /etc/source") == "hello\n"
    app.runtime.copy_out(name, "/etc/target", str(tmp_path / "back"), None)
    back = tmp_path / "back"
    owner = 0 if app.kind == "podman" else 1000  # Podman's archives give everything to root
    assert (back.read_text(), back.stat().st_mode & 0o777, back.stat().st_uid) == ("hello\n", 0o640, owner)
    app.runtime.copy_out(name, "/etc/target", str(tmp_path), None)
    assert (tmp_path / "target").read_text() == "hello\n"


def test_directories_links_and_contents_alone(app, tmp_path):
    name, tree = app.name("app"), tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "below/file").write_text("x")
    (tree / "link").symlink_to("below/file")
    app.runtime.copy_in(name, str(tree), "/new", None)
    assert app.sh("app", "readlink /new/link; cat /new/below/file") == "below/file\nx"
    app.runtime.copy_in(name, str(tree), "/new", None)
    assert app.sh("app", "ls /new") == "below\nlink\ntree\n"
    app.runtime.copy_in(name, f"{tree}/.", "/tmp", None)
    assert app.sh("app", "ls /tmp") == "below\nlink\n"
    app.runtime.copy_out(name, "/new/tree", str(tmp_path / "out"), None)
    assert sorted(item.name for item in (tmp_path / "out").iterdir()) == ["below", "link"]
    app.runtime.copy_out(name, "/new/tree/.", str(tmp_path / "out/below"), None)
    assert sorted(item.name for item in (tmp_path / "out/below").iterdir()) == ["below", "file", "link"]
    assert (tmp_path / "out/link").readlink().name == "file"


def test_a_tar_goes_through(app):
    name, made, back = app.name("app"), io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        member = tarfile.TarInfo("from-tar")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    made.seek(0)
    app.runtime.copy_in(name, None, "/data", made)
    assert app.sh("app", "cat /data/from-tar") == "abc"
    app.runtime.copy_out(name, "/data/from-tar", None, back)
    back.seek(0)
    with tarfile.open(fileobj=back) as tar:
        assert [(item.name, item.size) for item in tar] == [("from-tar", 3)]


def test_a_stopped_one_can_be_read_and_written(app, tmp_path):
    (tmp_path / "note").write_text("n")
    app.runtime.stop(app.name("app"))
    app.runtime.copy_in(app.name("app"), str(tmp_path / "note"), "/data/note", None)
    app.runtime.copy_out(app.name("app"), "/etc/passwd", str(tmp_path / "passwd"), None)
    assert "root" in (tmp_path / "passwd").read_text()
    app.runtime.start(app.name("app"))
    assert app.sh("app", "cat /data/note") == "n"


def test_what_is_not_there_is_said(app, tmp_path):
    for call in (
        lambda: app.runtime.copy_out(app.name("app"), "/nope", str(tmp_path / "x"), None),
        lambda: app.runtime.copy_in(app.name("app"), str(tmp_path / "nope"), "/data", None),
        lambda: app.runtime.copy_in(app.name("app"), str(tmp_path), "/nope/deep/", None),
        lambda: app.runtime.copy_out("nobody", "/etc/passwd", str(tmp_path / "x"), None),
    ):
        with pytest.raises(NotFoundError, match="does not exist"):
            call()


def test_a_volume_is_exported_and_imported(app, tmp_path):
    volume = f"{app.project}_data"
    app.sh("app", "mkdir /data/dir; echo kept > /data/dir/file; chown 1000:1000 /data/dir/file")
    with (tmp_path / "volume.tar").open("wb") as out:
        app.runtime.export_volume(volume, out)
    with tarfile.open(tmp_path / "volume.tar") as tar:
        assert {item.name.removeprefix("./").rstrip("/") for item in tar} - {"", "."} == {"dir", "dir/file"}
    with (tmp_path / "volume.tar").open("rb") as held:
        with pytest.raises(ConflictError, match=app.name("app")):
            app.runtime.import_volume(volume, held)
        app.destroy()
        with pytest.raises(ConflictError, match="replace"):
            app.runtime.import_volume(volume, held)
        app.runtime.import_volume(volume, held, replace=True)
    app.apply(QUIET)
    assert app.sh("app", "cat /data/dir/file; stat -c %u /data/dir/file") == "kept\n1000\n"


def test_volumes_are_listed_with_their_users(app):
    found = {item.id.name: (item, users) for item, users in app.runtime.volumes_there()}
    item, users = found[f"{app.project}_data"]
    assert users == (app.name("app"),)
    assert item.project == app.project
    assert labels.DECLARATION not in getattr(item.actual, "labels", {})


def test_a_volume_in_use_is_not_removed(app):
    target = next(item.id for item in app.status().values() if item.id.name == f"{app.project}_data")
    with pytest.raises(ConflictError):
        app.runtime.delete(target)


def test_a_new_volume_takes_what_the_image_has_there(real_host):
    real_host.apply(QUIET.replace("data:/data", "data:/etc"))
    assert "root" in real_host.sh("app", "cat /etc/passwd")
