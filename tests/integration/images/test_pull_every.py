"""pull_policy every_<duration>: the registry is asked when its last answer is older."""

import json
import os
import time

import pytest

from faults.core import add_image, layer

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def test_a_registry_is_asked_once_in_each_period(core, registry):
    name, images = f"{registry}/box:1", core.state / "images"
    add_image(images, name, layer(files=[("word", b"first\n")]))
    core("image", "push", name)
    service = {"image": name, "pull_policy": "every_12h", "command": ["sleep", "600"], "network_mode": "host"}
    file = core.root / "compose.yaml"
    stack = {"name": "bpe", "services": {"one": {**service, "stop_grace_period": "50ms"}}}
    file.write_text(json.dumps(stack))
    apply = ("-f", file, "apply", "--json")
    core(*apply)
    first = core("image", "inspect", name, "--json")
    # Another host pushes; this one has what it had.
    add_image(images, name, layer(files=[("word", b"second\n")]))
    core("image", "push", name)
    add_image(images, name, layer(files=[("word", b"first\n")]))
    assert core("image", "inspect", name, "--json") == first
    assert core(*apply)["changed"] is False
    (asked,) = (core.state / "asked").iterdir()
    old = time.time() - 13 * 3600
    os.utime(asked, (old, old))
    changed = core(*apply)
    assert changed["done"] == [f"image {name}", "container bpe-one-1"]
    assert core("-f", file, "exec", "one", "cat", "/word") == "second\n"
    assert core(*apply)["changed"] is False
    # A clock that was set back makes it due; the same answer is no change, and is remembered.
    os.utime(asked, (time.time() + 1e6,) * 2)
    assert core(*apply)["changed"] is False
    assert asked.stat().st_mtime <= time.time()
