"""Volumes that images ask for, and images that are mounted, on the real core."""

import os

import pytest

from faults.core import add_image, layer, small_core

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
STACK = """\
name: iv
services:
  app:
    image: lab/store
    command: [sh, -c, 'cat /data/seed; exec sleep 600']
    network_mode: none
    stop_grace_period: 50ms
    environment: {ROUND: "${ROUND:-1}"}
"""


@pytest.fixture
def core(tmp_path):
    with small_core(tmp_path, STACK) as made:
        data = layer(files=[("data/seed", b"of the image\n"), ("cache/x", b"x")])
        add_image(
            made.settings.state_root / "images", "lab/store", data, Volumes={"/data": {}, "cache/": {}, "/tmp/": {}}
        )
        yield made


def volumes(core):
    return sorted(name for name, item in core.status().items() if item["kind"] == "volume")


def mounts(core, name="iv-app-1"):
    (found,) = core.call("inspect", name, "--json")
    return {item["Destination"]: item for item in found["Mounts"]}


def test_each_path_has_a_volume_that_outlives_the_container(core):
    add_image(
        core.settings.state_root / "images", "lab/store", layer(files=[("data/seed", b"s\n")]), Volumes={"/data": {}}
    )
    planned = core.call("plan", "--json")
    (volume,) = [step["resource"]["name"] for step in planned["steps"] if step["resource"]["kind"] == "volume"]
    core.call("apply")
    assert volumes(core) == [volume]
    assert mounts(core)["/data"]["Name"] == volume
    assert "s" in core.call("logs", "app")
    core.call("exec", "app", "sh", "-c", "echo mine > /data/mine")
    assert core.call("apply", "--json")["changed"] is False
    core.call("apply", ROUND="2")
    assert core.call("exec", "app", "cat", "/data/mine") == "mine\n"
    assert core.call("apply", "--json", ROUND="2")["changed"] is False
    core.call("rm", "-f", "app")
    assert volumes(core) == [volume]
    core.call("apply", ROUND="2")
    assert core.call("exec", "app", "cat", "/data/mine") == "mine\n"
    core.call("rm", "-f", "-v", "app")
    assert volumes(core) == []


def test_a_path_that_is_no_absolute_one_is_refused(core):
    assert "asks for a volume that cannot be" in core.call("plan", code=core_code())


def core_code():
    from bayplan.errors import UnsupportedError

    return UnsupportedError.exit_code


@pytest.mark.parametrize("path", ["/proc", "/sys/fs", "/dev", "/", "/a/../../etc"])
def test_the_kernel_s_own_places_are_never_covered(core, path):
    add_image(core.settings.state_root / "images", "lab/store", layer(), Volumes={path: {}})
    assert "asks for a volume that cannot be" in core.call("apply", code=core_code())
    assert core.status() == {}


def test_a_declared_mount_covers_the_path(core):
    core.file.write_text(STACK + "    tmpfs: [/data]\n    volumes: ['named:/cache']\nvolumes: {named: {}}\n")
    images = core.settings.state_root / "images"
    add_image(images, "lab/store", layer(files=[("cache/x", b"x")]), Volumes={"/data": {}, "/cache": {}})
    core.call("apply")
    assert volumes(core) == ["iv_named"]
    assert {key: item["Type"] for key, item in mounts(core).items()} == {"/data": "tmpfs", "/cache": "volume"}


def test_an_image_that_no_longer_asks_leaves_the_data(core):
    images = core.settings.state_root / "images"
    add_image(images, "lab/store", layer(), Volumes={"/data": {}})
    core.call("apply")
    (volume,) = volumes(core)
    add_image(images, "lab/store", layer())
    core.call("apply")
    assert mounts(core) == {}
    assert volumes(core) == [volume]
    assert "data is never removed unasked" in core.call("plan")


IMAGE_MOUNT = """\
name: im
services:
  app:
    image: lab/busybox
    command: [sh, -c, 'cat /m/data/seed; exec sleep 600']
    network_mode: none
    stop_grace_period: 50ms
    volumes:
    - {type: image, source: lab/tools, target: /m}
    - {type: image, source: lab/tools, target: /part, image: {subpath: data}}
"""


def test_an_image_is_mounted_read_only_and_kept_while_it_is(tmp_path):
    with small_core(tmp_path, IMAGE_MOUNT) as core:
        images = core.settings.state_root / "images"
        add_image(images, "lab/tools", layer(files=[("data/seed", b"first\n")]))
        core.call("apply")
        assert core.call("exec", "app", "cat", "/part/seed") == "first\n"
        script = "(echo x > /m/data/seed) 2>/dev/null || echo refused"
        assert core.call("exec", "app", "sh", "-c", script) == "refused\n"
        assert core.call("apply", "--json")["changed"] is False
        core.call("stop", "app")
        core.call("start", "app")
        assert core.call("exec", "app", "cat", "/part/seed") == "first\n"
        assert "used by containers im-app-1" in core.call("image", "rm", "lab/tools", code=2)
        add_image(images, "lab/tools", layer(files=[("data/seed", b"second\n")]))
        core.call("image", "prune")
        assert core.call("exec", "app", "cat", "/part/seed") == "first\n"
        again = core.call("apply", "--json")
        assert again["done"] == ["container im-app-1"]
        assert core.call("exec", "app", "cat", "/part/seed") == "second\n"
        assert core.call("apply", "--json")["changed"] is False


def test_a_part_of_an_image_that_is_not_there_is_named(tmp_path):
    with small_core(tmp_path, IMAGE_MOUNT.replace("subpath: data", "subpath: nowhere")) as core:
        add_image(core.settings.state_root / "images", "lab/tools", layer(files=[("data/seed", b"first\n")]))
        assert "subpath nowhere" in core.call("apply", code=2)
