"""Push to a real registry, and what skopeo makes of it."""

import json
import os
import shutil
import subprocess

import pytest

from bayplan.models import ImageReference, Settings
from bayplan.registry.client import RegistryClient
from bayplan.registry.limits import Limits
from bayplan.registry.push import Pusher

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
