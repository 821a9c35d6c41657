"""containers-policy.json(5) on every way by which an image can come."""

import json

import pytest

pytestmark = pytest.mark.host


@pytest.fixture
def reject(core):
    """Environment of a policy that takes nothing."""
    file = core.root / "policy.json"
    file.write_text(json.dumps({"default": [{"type": "reject"}]}))
    return {"BAYPLAN_SIGNATURE_POLICY": str(file)}


@pytest.mark.parametrize("form", ["oci-archive", "oci-dir", "docker-archive"])
def test_neither_a_path_nor_a_stream_gets_past_the_policy(core, reject, form):
    saved = core.root / "saved"
    core("image", "save", "--format", form, "-o", saved, "lab/busybox")
    core("image", "rm", "lab/busybox")
    assert "rejected by the policy" in core("image", "load", "-i", saved, code=2, **reject)
    if form != "oci-dir":
        assert "rejected by the policy" in core("image", "load", "-i", "-", code=2, stdin=saved.read_bytes(), **reject)
    assert core("image", "ls", "--json") == []


def test_neither_an_import_nor_a_pull_gets_past_the_policy(core, reject, registry):
    core("image", "save", "--format", "docker-archive", "-o", core.root / "any.tar", "lab/busybox")
    for source, data in ((core.root / "any.tar", None), ("-", (core.root / "any.tar").read_bytes())):
        assert "rejected by the policy" in core("image", "import", source, "lab/x:1", code=2, stdin=data, **reject)
    core("image", "tag", "lab/busybox", f"{registry}/box:1")
    core("image", "push", f"{registry}/box:1")
    core("image", "rm", f"{registry}/box:1")
    assert "rejected by the policy" in core("pull", f"{registry}/box:1", code=2, **reject)
    assert core("image", "ls", "--json")[0]["names"] == ["lab/busybox:latest"]


def test_an_image_of_another_host_is_refused_by_its_name(core, reject):
    digest = core("image", "ls", "--json")[0]["digest"]
    blobs = [{"digest": digest, "size": 1}]
    request = {"verb": "image_receive", "name": "x:1", "manifest": digest, "blobs": blobs}
    said = core("bridge", stdin=json.dumps(request).encode() + b"\n", **reject)
    assert "rejected by the policy" in said
