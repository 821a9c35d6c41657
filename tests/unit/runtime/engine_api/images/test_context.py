"""The files of a build as an engine gets them."""

import io
import tarfile

import pytest

from bayplan.errors import DeclarationError, NotFoundError, UnsupportedError
from bayplan.models import Build
from bayplan.runtime.engine_api.images.context import Context


@pytest.fixture
def top(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("x")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone/file").write_text("x")
    (tmp_path / "gone/but-this").write_text("x")
    (tmp_path / "link").symlink_to("kept/file")
    (tmp_path / ".dockerignore").write_text("gone\n!gone/but-this\nDockerfile\n")
    return tmp_path


def names(context, **extra):
    sink = io.BytesIO()
    context.write(sink, extra)
    sink.seek(0)
    with tarfile.open(fileobj=sink) as tar:
        return {item.name: item for item in tar}


def test_what_is_left_out_is_left_out_and_the_dockerfile_goes_along(top):
    found = names(Context.read(Build(context=str(top))))
    assert set(found) == {".dockerignore", "Dockerfile", "kept", "kept/file", "gone", "gone/but-this", "link"}
    assert found["link"].linkname == "kept/file"
    assert {(item.uid, item.gid, item.uname) for item in found.values()} == {(0, 0, "")}


def test_the_fingerprint_follows_contents_names_and_modes_alone(top):
    def fingerprint():
        return Context.read(Build(context=str(top))).fingerprint()

    first = fingerprint()
    (top / "gone/file").write_text("another")
    (top / "kept/file").touch()
    assert fingerprint() == first
    (top / "kept/file").write_text("another")
    second = fingerprint()
    assert second != first
    (top / "kept/file").chmod(0o600)
    assert fingerprint() != second


def test_a_dockerfile_of_its_own_ignore_file_and_one_without_a_file(top):
    (top / "other").write_text("FROM scratch\n")
    (top / "other.dockerignore").write_text("*\n")
    assert set(names(Context.read(Build(context=str(top), dockerfile="other")))) == {"other"}
    inline = Context.read(Build(context=str(top), dockerfile_inline="FROM scratch"))
    assert inline.file == "dockerfile_inline"
    assert inline.dockerfile in names(inline)
    assert "Dockerfile" not in names(inline)


def test_what_is_not_there_or_wrong_is_said(top):
    with pytest.raises(NotFoundError, match="no directory"):
        Context.read(Build(context=str(top / "nope")))
    with pytest.raises(NotFoundError, match="nope"):
        Context.read(Build(context=str(top), dockerfile="nope"))
    with pytest.raises(UnsupportedError, match="https"):
        Context.read(Build(context="https://example.com/a.git"))
    (top / ".dockerignore").write_text("../up\n")
    with pytest.raises(DeclarationError, match="leads out"):
        Context.read(Build(context=str(top)))
