"""Fault row 16: blobs that rot or are gone, layers that are gone: found by ``check``, mended by a pull."""

import shutil

import pytest

from bayplan.runtime.native.images.store import ImageStore

pytestmark = pytest.mark.host


@pytest.fixture
def pulled(core, registry):
    name = f"{registry}/box:1"
    core("image", "tag", "lab/busybox", name)
    core("image", "push", name)
    core("image", "rm", name, "lab/busybox")
    core("pull", name)
    return name


def test_a_pull_asks_the_registry_though_the_name_is_here(core, pulled, container):
    before = core("image", "ls", "--json")[0]["digest"]
    core("image", "tag", pulled, "lab/busybox")
    core("image", "commit", container("sh", "-c", "exec sleep 600"), "lab/newer:1")
    core("image", "tag", "lab/newer:1", pulled)
    core("image", "push", pulled)
    core("image", "tag", "lab/busybox", pulled)
    assert core("image", "inspect", pulled, "--json")[0]["Digest"] == before
    core("pull", pulled)
    newer = core("image", "inspect", "lab/newer:1", "--json")[0]["Digest"]
    assert core("image", "inspect", pulled, "--json")[0]["Digest"] == newer != before


@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
@pytest.mark.parametrize("damage", ["rotten", "gone"])
def test_a_damaged_part_is_found_named_and_mended_by_the_next_pull(core, pulled, part, damage):
    assert core("check", "--json") == []
    store = ImageStore(core.state / "images")
    digest = core("image", "ls", "--json")[0]["digest"]
    manifest = store.document(digest)
    hit = {"manifest": digest, "config": manifest["config"]["digest"], "layer": manifest["layers"][0]["digest"]}[part]
    whole = store.blob(hit).read_bytes()
    if damage == "gone":
        store.blob(hit).unlink()
    else:
        store.blob(hit).write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    found = core("check", "--json", code=1)
    assert [item for item in found if item["resource"] == f"image {pulled}" and hit in item["what"]]
    core("pull", pulled)
    assert store.blob(hit).read_bytes() == whole
    assert core("check", "--json") == []
    assert core("image", "ls", "--json")[0]["defect"] == ""


def test_a_layer_that_is_gone_is_unpacked_again_when_it_is_used(core, pulled, container):
    for path in (core.state / "layers").iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    container("sh", "-c", "exec sleep 600", image=pulled)
    assert core("-f", core.root / "compose.yaml", "exec", "one", "echo", "whole").strip() == "whole"
