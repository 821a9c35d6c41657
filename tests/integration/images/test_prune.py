"""What is freed is what was shown; a damaged image stops nothing."""

import fcntl
import json

import pytest

pytestmark = pytest.mark.host


def blobs(core):
    return {item.name for item in (core.state / "images/blobs/sha256").iterdir()}


def test_the_preview_is_the_list_that_is_deleted(core, container):
    name = container("sleep", "600")
    core("image", "commit", name, "lab/made:1")
    flat = core("image", "export", name, "-o", "-")
    core("image", "import", "-", "lab/flat:1", stdin=flat)
    assert core("image", "prune", "--dry-run", "--json") == []
    shown = core("image", "prune", "--all", "--dry-run", "--json")
    assert {item["name"] for item in shown if item["kind"] == "name"} == {"lab/flat:1", "lab/made:1"}
    assert {item["kind"] for item in shown} == {"name", "blob", "layer"}
    before = blobs(core)
    assert core("image", "prune", "--all", "--json") == shown
    assert before - blobs(core) == {item["name"][7:] for item in shown if item["kind"] == "blob"}
    assert [item["names"] for item in core("image", "ls", "--json")] == [["lab/busybox:latest"]]
    assert core("-f", core.root / "compose.yaml", "exec", "one", "echo", "alive") == "alive\n"
    assert "Freed 0 B in 0 things" in core("image", "prune", "--all")


def test_nothing_is_freed_while_images_are_on_their_way(core):
    with (core.state / "images/.use").open("a") as lease:
        fcntl.flock(lease, fcntl.LOCK_SH)
        assert "no name yet" in core("image", "prune", code=3)
    core("image", "prune")


def test_a_damaged_image_is_named_and_the_rest_is_freed(core):
    core("image", "tag", "lab/busybox", "lab/bad:1")
    (core.root / "x.tar").write_bytes(b"\0" * 10240)
    core("image", "import", core.root / "x.tar", "lab/other:1")
    bad = next(item for item in core("image", "ls", "--json") if "lab/bad:1" in item["names"])
    manifest = core.state / "images/blobs/sha256" / bad["digest"][7:]
    manifest.write_bytes(manifest.read_bytes() + b" ")
    assert "BROKEN" in core("image", "ls")
    said = core("image", "rm", "lab/other:1")
    assert "image docker.io/lab/bad:1, docker.io/lab/busybox:latest is damaged" in said
    assert [item["names"] for item in core("image", "ls", "--json")] == [["lab/bad:1", "lab/busybox:latest"]]
    core("image", "prune", "--all")
    assert json.loads((core.state / "images/index.json").read_text())["manifests"] == []
    assert blobs(core) == set()
