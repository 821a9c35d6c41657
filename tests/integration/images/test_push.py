"""Push to a real registry, and what skopeo makes of it."""

import hashlib
import json
import os
import shutil
import subprocess

import pytest

from bayplan.models import ImageReference, Settings
from bayplan.registry.client import RegistryClient
from bayplan.registry.limits import Limits
from bayplan.registry.push import Pusher
from bayplan.runtime.native.images.store import ImageStore

pytestmark = pytest.mark.host
skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="package skopeo is not installed")


def test_only_what_is_missing_goes_and_other_repositories_lend(core, registry):
    name, other = f"{registry}/team/box:1", f"{registry}/other/box:1"
    core("image", "tag", "lab/busybox", name)
    core("image", "tag", "lab/busybox", other)
    (first,) = core("image", "push", name, "--json")
    assert (first["uploaded"], first["mounted"], first["present"]) == (2, 0, 0)
    (again,) = core("image", "push", name, "--json")
    assert (again["uploaded"], again["present"]) == (0, 2)
    (lent,) = core("image", "push", other, "--json")
    assert (lent["uploaded"], lent["mounted"]) == (0, 2)
    core("image", "rm", name, other, "lab/busybox")
    core("pull", other, "--json")
    assert core("image", "ls", "--json")[0]["digest"] == first["digest"]
    assert "no repository" in core("image", "push", first["digest"], code=2)


@skopeo
def test_skopeo_reads_what_was_pushed(core, registry):
    core("image", "tag", "lab/busybox", f"{registry}/box:1")
    (pushed,) = core("image", "push", f"{registry}/box:1", "--json")
    argv = ["skopeo", "inspect", "--tls-verify=false", f"docker://{registry}/box:1"]
    seen = json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout)
    assert seen["Digest"] == pushed["digest"]


def test_a_large_blob_goes_in_chunks(root, registry):
    (root / "registries.conf").write_text(f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n')
    client = RegistryClient(Settings(registries_conf=(root / "registries.conf",)), Limits(chunk_bytes=1 << 20))
    blob = root / "blob"
    blob.write_bytes(os.urandom((5 << 19) + 7))
    digest = "sha256:" + subprocess.run(["sha256sum", blob], capture_output=True, check=True).stdout.decode()[:64]
    pusher = Pusher(client, ImageReference.parse(f"{registry}/large:1"))
    ticks = []
    assert not pusher.has(digest)
    pusher.upload(digest, blob, ticks.append)
    assert pusher.has(digest)
    assert ticks[-1] == blob.stat().st_size
    assert b"".join(client.fetch_blob(pusher.ref, digest, ticks[-1])) == blob.read_bytes()


@skopeo
def test_an_index_of_several_platforms_is_pushed_and_each_finds_its_own(core, registry):
    store = ImageStore(core.state / "images")
    own = core("image", "ls", "--json")[0]["digest"]
    manifest = store.document(own)
    config = json.dumps(
        {**store.document(manifest["config"]["digest"]), "architecture": "arm64", "variant": "v8"}
    ).encode()

    def put(data):
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        store.write(digest, [data])
        return digest

    manifest["config"] |= {"digest": put(config), "size": len(config)}
    other = put(json.dumps(manifest).encode())
    store.tag(ImageReference.parse("lab/arm:1"), other)
    name = f"{registry}/team/many:1"
    assert "two of the images" in core("image", "push", name, "--index", "lab/busybox", own, code=2)
    (pushed,) = core("image", "push", name, "--index", "lab/busybox", "lab/arm:1", "--json")
    assert (pushed["uploaded"], pushed["present"]) == (3, 1)  # the layer is one

    def inspect(*options):
        argv = ["skopeo", *options[:-1], "inspect", "--raw", "--tls-verify=false", options[-1]]
        return subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout

    index = json.loads(inspect(f"docker://{name}"))
    platforms = [item["platform"] for item in index["manifests"]]
    assert platforms == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
    ]
    core("image", "rm", "lab/busybox", "lab/arm:1")
    core("pull", name)
    assert core("image", "ls", "--json")[0]["digest"] == own
    argv = ["skopeo", "copy", "-q", "--insecure-policy", "--all", "--src-tls-verify=false"]
    layout = core.root / "all"
    subprocess.run([*argv, f"docker://{name}", f"oci:{layout}:docker.io/lab/many:1"], check=True, timeout=60)
    core("image", "load", "-i", layout)
    rows = {tuple(item["names"]): item["platform"] for item in core("image", "ls", "--json")}
    assert rows[("lab/many:1",)] == "linux/amd64"
