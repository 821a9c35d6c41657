"""Podman and Docker run what this writes, and this runs what they write: by archives and by a registry."""

import shutil
import subprocess
import time

import pytest

from bayplan.runtime.native.images.store import ImageStore
from integration.images.engines import Docker, Podman

pytestmark = pytest.mark.host
WORK = "echo new > /new; mkdir /d; echo y > /d/y; ln /new /hard; rm /bin/true; rm -r /bin/nc; touch /done"
# Of the base, of the layer above it, and what that takes away.
LOOK = "cat /new /hard /d/y; ls /bin/true /bin/nc 2>/dev/null; [ /new -ef /hard ] && echo linked"
SEEN = ["new", "new", "y", "linked"]


def engine_of(kind):
    programs = ("dockerd", "docker") if kind is Docker else (kind.name,)
    missing = [name for name in programs if shutil.which(name) is None]
    why = f"{' and '.join(missing)} not installed"
    return pytest.param(kind, id=kind.name, marks=pytest.mark.skipif(bool(missing), reason=why))


@pytest.fixture(params=[engine_of(Podman), engine_of(Docker)])
def engine(request, root):
    made = request.param(root)
    yield made
    made.close()


@pytest.fixture
def made(core, container, registry):
    """An image of two layers, the second with whiteouts and a hard link; its name is of the registry."""
    name = container("sh", "-c", f"{WORK}; exec sleep 600")
    deadline = time.monotonic() + 20
    while not any(item["path"] == "/done" for item in core("image", "diff", name, "--json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    core("image", "commit", name, f"{registry}/team/made:1")
    core("-f", core.root / "compose.yaml", "destroy")
    return f"{registry}/team/made:1"


def seen_by(core, container, image, look=LOOK):
    container("sh", "-c", "exec sleep 600", image=image)
    found = core("-f", core.root / "compose.yaml", "exec", "one", "sh", "-c", look).split()
    core("-f", core.root / "compose.yaml", "destroy")
    return found


def test_an_engine_runs_what_this_saved_and_pushed(core, made, engine):
    core("image", "push", made)
    engine.pull(made)
    assert engine.run(made, LOOK, "--rm").split() == SEEN
    for form in engine.forms:
        engine.call("rmi", "-f", made)
        core("image", "save", "--format", form, "-o", core.root / form, made)
        engine.load(core.root / form)
        assert engine.run(made, LOOK, "--rm").split() == SEEN, form


def test_this_runs_what_an_engine_pushed_and_saved(core, container, registry, engine):
    core("image", "save", "--format", "docker-archive", "-o", core.root / "base.tar", "lab/busybox")
    engine.load(core.root / "base.tar")
    engine.run("docker.io/lab/busybox", WORK, "--name", "worked")
    name = f"{registry}/team/theirs:1"
    engine.call("commit", "worked", name)
    engine.push(name)
    core("pull", name)
    assert seen_by(core, container, name) == SEEN
    core("image", "rm", name)
    engine.call("save", "-o", core.root / "theirs.tar", name)
    core("image", "load", "-i", core.root / "theirs.tar")
    assert seen_by(core, container, name) == SEEN


@pytest.mark.skipif(not all(map(shutil.which, ("skopeo", "podman"))), reason="skopeo or podman is not installed")
def test_zstd_layers_are_pulled_run_pushed_and_saved(core, container, made, root, registry):
    core("image", "push", made)
    packed, again = made.replace("made", "packed"), made.replace("made", "again")
    plain = ("--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false")
    copy = ("--dest-compress-format", "zstd", f"docker://{made}", f"docker://{packed}")
    subprocess.run(["skopeo", "copy", "-q", *plain, *copy], check=True, timeout=60)
    (before,) = core("image", "inspect", made, "--json")
    core("image", "rm", made, "lab/busybox")
    core("pull", packed)
    (after,) = core("image", "inspect", packed, "--json")
    assert after["Id"] == before["Id"]
    store = ImageStore(core.state / "images")
    manifest = store.document(after["Digest"])
    heads = {store.blob(item["digest"]).read_bytes()[:4] for item in manifest["layers"]}
    assert heads == {b"\x28\xb5\x2f\xfd"}
    assert seen_by(core, container, packed) == SEEN
    core("image", "tag", packed, again)
    core("image", "push", again)
    core("image", "save", "--format", "docker-archive", "-o", core.root / "plain.tar", packed)
    podman = Podman(root)
    try:
        podman.pull(again)
        assert podman.run(again, LOOK, "--rm").split() == SEEN
        podman.load(core.root / "plain.tar")
        assert podman.run(packed, LOOK, "--rm").split() == SEEN
    finally:
        podman.close()


@pytest.mark.skipif(shutil.which("umoci") is None, reason="umoci is not installed")
def test_what_umoci_made_is_loaded_and_run(core, container):
    layout = core.root / "layout"
    core("image", "save", "--format", "oci-dir", "-o", layout, "lab/busybox")
    index = layout / "index.json"
    index.write_text(index.read_text().replace("docker.io/lab/busybox:latest", "base"))  # it takes no whole name
    (core.root / "new").write_text("new\n")
    for argv in (
        ["insert", "--image", f"{layout}:base", core.root / "new", "/new"],
        ["insert", "--image", f"{layout}:base", "--whiteout", "/bin/true"],
        ["tag", "--image", f"{layout}:base", "1"],
    ):
        subprocess.run(["umoci", *argv], check=True, timeout=60, capture_output=True)
    subprocess.run(["umoci", "rm", "--image", f"{layout}:base"], check=True, timeout=60)
    core("image", "load", "-i", layout, "--name", "lab/umoci:1")
    look = "cat /new; ls /bin/true /bin/cat 2>/dev/null; true"
    assert seen_by(core, container, "lab/umoci:1", look) == ["new", "/bin/cat"]
