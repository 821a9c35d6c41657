"""Images saved and loaded, file systems exported and imported, containers committed; held against skopeo and umoci."""

import io
import json
import shutil
import subprocess
import tarfile
import time

import pytest

pytestmark = pytest.mark.host
needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="package skopeo is not installed")
needs_umoci = pytest.mark.skipif(shutil.which("umoci") is None, reason="package umoci is not installed")
WORK = (
    "echo new > /new; mkdir /d; echo y > /d/y; rm /bin/echo; rm -r /bin/cat; ln /new /hard; touch /done; exec sleep 600"
)


def run(*argv):
    return subprocess.run([str(item) for item in argv], capture_output=True, check=True, timeout=120).stdout


@pytest.fixture
def worked(core, container):
    name = container("sh", "-c", WORK)
    deadline = time.monotonic() + 20
    while not any(item["path"] == "/done" for item in core("image", "diff", name, "--json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return name


@pytest.mark.parametrize("form", ["oci-archive", "oci-dir", "docker-archive"])
def test_saved_twice_is_the_same_and_loads_to_the_same_image(core, form):
    one, two = core.root / "one", core.root / "two"
    for target in (one, two):
        core("image", "save", "--format", form, "-o", target, "lab/busybox")
    for file in [item for item in one.rglob("*") if item.is_file()] or [one]:
        assert file.read_bytes() == (two / file.relative_to(one)).read_bytes()
    assert "exists already" in core("image", "save", "-o", one, "lab/busybox", code=2)
    before = core("image", "ls", "--json")[0]
    core("image", "rm", "lab/busybox")
    assert core("image", "load", "-i", one, "--json") == {
        "lab/busybox:latest": core("image", "ls", "--json")[0]["digest"]
    }
    after = core("image", "ls", "--json")[0]
    assert (after["id"], after["names"]) == (before["id"], before["names"])
    if form != "docker-archive":
        assert after["digest"] == before["digest"]
    if form != "oci-dir":
        streamed = core("image", "save", "--format", form, "-o", "-", "lab/busybox")
        core("image", "rm", "lab/busybox")
        core("image", "load", "-i", "-", "--name", "other:1", stdin=streamed)
        assert core("image", "ls", "--json")[0]["names"] == ["other:1"]


@needs_skopeo
@pytest.mark.parametrize(
    ("form", "transport"), [("oci-archive", "oci-archive"), ("oci-dir", "oci"), ("docker-archive", "docker-archive")]
)
def test_skopeo_and_this_read_each_other(core, form, transport):
    core("image", "save", "--format", form, "-o", core.root / "saved", "lab/busybox")
    where = f"{transport}:{core.root / 'saved'}"
    seen = json.loads(run("skopeo", "inspect", where))
    assert seen["Os"] == "linux"
    core("image", "rm", "lab/busybox")
    given = f"{transport}:{core.root / 'given'}:docker.io/lab/given:1"
    run("skopeo", "copy", "--insecure-policy", where, given)
    core("image", "load", "-i", core.root / "given")
    assert core("image", "ls", "--json")[0]["names"] == ["lab/given:1"]


@needs_umoci
def test_umoci_unpacks_what_was_saved(core, worked):
    core("image", "commit", worked, "lab/made:1")
    core("image", "save", "--format", "oci-dir", "-o", core.root / "layout", "lab/made:1")
    (entry,) = json.loads((core.root / "layout/index.json").read_text())["manifests"]
    # umoci takes no name with a slash: it finds the same manifest under a tag.
    entry["annotations"] = {"org.opencontainers.image.ref.name": "tag"}
    (core.root / "layout/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    run("umoci", "unpack", "--image", f"{core.root / 'layout'}:tag", core.root / "bundle")
    assert (core.root / "bundle/rootfs/d/y").read_text() == "y\n"
    assert not (core.root / "bundle/rootfs/bin/cat").is_symlink()
    assert (core.root / "bundle/rootfs/new").stat().st_nlink == 2


def test_a_container_is_told_exported_committed_and_runs_again(core, container, worked):
    changes = {item["path"]: item["kind"] for item in core("image", "diff", worked, "--json")}
    wanted = {"/new": "A", "/hard": "A", "/d": "A", "/d/y": "A", "/bin": "C", "/bin/echo": "D", "/bin/cat": "D"}
    assert wanted.items() <= changes.items()
    assert not {"/etc/hosts", "/proc", "/dev"} & set(changes)
    tar = core("image", "export", worked, "-o", "-")
    with tarfile.open(fileobj=io.BytesIO(tar)) as found:
        names = set(found.getnames())
        assert found.extractfile("new").read() == b"new\n"
    assert {"new", "d/y", "bin/busybox"} <= names
    assert not {"bin/echo", "bin/cat"} & names
    core("image", "import", "-", "lab/flat:1", "-m", "flattened", stdin=tar)
    assert core("image", "history", "lab/flat:1", "--json")[0]["comment"] == "flattened"
    digest = core("image", "commit", worked, "lab/made:1", "--json")["digest"]
    assert core("image", "inspect", "lab/made:1", "--json")[0]["Digest"] == digest
    assert len(core("image", "history", "lab/made:1", "--json")) == 2
    for image in ("lab/made:1", "lab/flat:1"):
        again = container("sh", "-c", "[ -e /bin/cat ] || exec sleep 600", image=image)
        assert core("-f", core.root / "compose.yaml", "exec", "one", "sh", "-c", "read -r x < /d/y; [ $x = y ]") == ""
        assert "D /bin/cat" not in core("image", "diff", again)


def archive(**files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


EVIL = {
    "not a tar": b"no tar at all" * 100,
    "no image": archive(x=b"1"),
    "bad digest": archive(
        **{"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": b'{"manifests":[{"digest":"sha256:../x"}]}'}
    ),
    "way out": archive(**{"..__..__manifest.json": b"[]"}),
    "no layer": archive(**{"manifest.json": b'[{"Config":"c","Layers":["../../etc/passwd"]}]', "c": b"{}"}),
    "bad name": archive(
        **{"manifest.json": b'[{"Config":"c","RepoTags":["../X"],"Layers":[]}]', "c": b'{"rootfs":{"diff_ids":[]}}'}
    ),
}


@pytest.mark.parametrize("data", EVIL.values(), ids=EVIL.keys())
def test_a_malformed_archive_leaves_no_name(core, data):
    said = core("image", "load", "-i", "-", "--json", stdin=data, code=1)
    assert said["kind"] == "CorruptStateError"
    assert len(core("image", "ls", "--json")) == 1


def test_a_layer_with_another_content_is_not_named(core):
    core("image", "save", "--format", "oci-dir", "-o", core.root / "layout", "lab/busybox")
    core("image", "rm", "lab/busybox")
    largest = max((core.root / "layout/blobs/sha256").iterdir(), key=lambda item: item.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[2000] ^= 1
    largest.write_bytes(data)
    assert "has digest" in core("image", "load", "-i", core.root / "layout", code=1)
    assert core("image", "ls", "--json") == []
