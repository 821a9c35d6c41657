"""Fault row 16: a rotten blob or a deleted lower layer is found by `check` and mended by `pull`."""

import json
import os
import shutil

import pytest

from faults.core import add_image, layer

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
SOUND = "Nothing is damaged.\n"


@pytest.fixture
def image(core, registry):
    """An image that the registry has too, and a container that runs from it."""
    name = f"{registry}/box:1"
    core.digest = add_image(core.state / "images", name, layer(files=[("word", b"whole\n")]))
    core("image", "push", name)
    service = {"image": name, "command": ["sleep", "600"], "network_mode": "host", "stop_grace_period": "50ms"}
    core.file = core.root / "compose.yaml"
    core.file.write_text(json.dumps({"name": "bpq", "services": {"one": service}}))
    core("-f", core.file, "apply", "--json")
    assert core("check") == SOUND
    return name


def blob(core, digest):
    return core.state / "images/blobs/sha256" / digest.removeprefix("sha256:")


def test_a_blob_of_which_a_byte_has_turned(core, image):
    """Fault row 16."""
    path = blob(core, core.digest)
    good = path.read_bytes()
    path.write_bytes(good[:-5] + b"\x01" + good[-4:])
    (found,) = core("check", "--json", code=1)
    assert (found["resource"], found["what"]) == (f"image {image}", f"blob {core.digest} was changed")
    assert found["hint"] == f"bayplan pull {image}"
    core("pull", image)
    assert core("check") == SOUND
    assert path.read_bytes() == good
    assert core("-f", core.file, "apply", "--json")["changed"] is False


def test_a_manifest_or_configuration_that_is_no_longer_what_it_was(core, image):
    """Fault row 16: the next plan pulls what cannot be read."""
    entries = json.loads((core.state / "images/index.json").read_text())["manifests"]
    (digest,) = [item["digest"] for item in entries if image in json.dumps(item)]
    config = json.loads(blob(core, digest).read_text())["config"]["digest"]
    for one in (config, digest):
        blob(core, one).write_bytes(b"{}")
        assert "was changed" in core("check", code=1)
        assert core("-f", core.file, "apply", "--json")["done"] == [f"image {image}"]
        assert core("check") == SOUND
    assert core("-f", core.file, "exec", "one", "cat", "/word") == "whole\n"


def test_a_layer_that_was_deleted(core, image):
    """Fault row 16."""
    trees = [item for item in (core.state / "layers").iterdir() if (item / "word").exists()]
    for tree in trees:
        shutil.rmtree(tree)
    assert f"container bpq-one-1: its layer {trees[0]} is gone" in core("check", code=1)
    core("pull", image)
    assert core("check") == SOUND
    core("-f", core.file, "restart", "-t", "0", "one")
    assert core("-f", core.file, "exec", "one", "cat", "/word") == "whole\n"
