"""A bundle made on one core and applied on another that reaches no registry."""

import json
import os
from pathlib import Path

import pytest

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
MORE = """\
    volumes: ["./conf:/etc/shop:ro", "data:/data"]
    configs: [motd]
    secrets: [key]
volumes: {data: {}}
configs: {motd: {content: welcome}}
secrets: {key: {file: ./key}}
"""


@pytest.fixture
def made(shop):
    """The bundle of a shop with files, a config, a secret and a build; and the fingerprint of what was declared."""
    (shop.directory / "conf/more").mkdir(parents=True)
    (shop.directory / "conf/more/setting").write_text("set\n")
    (shop.directory / "key").write_text("planted-key")
    shop.write(MORE)
    shop("lock")
    path = shop.core.root / "shop.bundle"
    told = shop("bundle", "make", path, "--json")
    return path, told["fingerprint"]


def layer_of(shop, name):
    """The file of an image's one layer, on the host that has it."""
    blobs = shop.core.env["BAYPLAN_STATE_ROOT"] + "/images/blobs/sha256"
    (shown,) = json.loads(shop.core("image", "inspect", f"{shop.registry}/{name}:1"))
    manifest = json.loads(Path(blobs, shown["Digest"].removeprefix("sha256:")).read_text())
    return Path(blobs, manifest["layers"][0]["digest"].removeprefix("sha256:"))


def test_an_offline_host_makes_the_same_environment(shop, made, prod):
    path, fingerprint = made
    data = path.read_bytes()
    assert b"planted" not in data
    shown = shop("bundle", "show", path, "--json")
    assert shown["asks_for"] == {"environment": ["DB_PASSWORD"], "secrets": ["key"]}
    assert shown["files"] == ["conf", "conf/more", "conf/more/setting"]
    # What is unpacked runs without its blobs. A save says which is gone; a bundle fetches it again.
    lost = layer_of(shop, "web")
    lost.unlink()
    refused = shop.core("image", "save", f"{shop.registry}/web:1", "-o", shop.core.root / "x.tar", code=1)
    assert f"blob sha256:{lost.name} is gone (`bayplan pull {shop.registry}/web:1` brings it again)" in refused
    # The same bytes again, from another directory.
    moved = shop.core.root / "moved"
    moved.mkdir()
    for name in ("compose.yaml", "bayplan.lock", "app", "conf", "key"):
        (shop.directory / name).rename(moved / name)
    again = shop.core("-f", moved / "compose.yaml", "bundle", "make", shop.core.root / "again.bundle", "--json")
    assert again["fingerprint"] == fingerprint
    assert (shop.core.root / "again.bundle").read_bytes() == data

    # Nothing of the declaration is left, and no registry is known: the bundle is all there is.
    offline = {**prod, "BAYPLAN_REGISTRIES_CONF": "/dev/null"}
    refused = shop.core("bundle", "apply", path, code=2, **offline)
    assert "the value of DB_PASSWORD is in no bundle" in refused
    refused = shop.core("bundle", "apply", path, code=2, **offline, DB_PASSWORD="planted-here")
    assert "what secret key holds is in no bundle" in refused
    assert shop.core("image", "ls", "--json", **offline) == []
    secret = ("--secret", f"key={moved}/key")
    shop.core("bundle", "apply", path, *secret, **offline, DB_PASSWORD="planted-here")

    def says(service, *command):
        return shop.core("-p", "shop", "exec", "-T", service, *command, **offline).strip()

    assert says("web", "cat", "/version") == "web 1"
    assert says("app", "cat", "/version", "/greeting") == "base 1\nhello"
    assert says("app", "cat", "/etc/shop/more/setting", "/motd", "/run/secrets/key") == "set\nwelcomeplanted-key"
    assert says("web", "sh", "-c", "echo $LEVEL $DB_PASSWORD") == "info planted-here"
    report = shop.core("-p", "shop", "parity", "--json", **offline)
    assert report["fingerprint"]["digest"] == fingerprint
    assert report["running"]["services.app.state"] == "running"
    # Again is nothing, and needs no secret: it is what runs. `apply FILE` takes it as well.
    assert "Nothing to do" in shop.core("apply", path, **offline)
    assert "exists already" in shop.core("-f", moved / "compose.yaml", "bundle", "make", path, code=2)
    # One that was changed on the way is refused before anything is taken of it; so is one for other hosts.
    empty = {**offline, "BAYPLAN_STATE_ROOT": str(shop.core.root / "third")}
    path.write_bytes(data.replace(b"set\n", b"bad\n"))
    assert "is not what the bundle's index says" in shop.core("bundle", "apply", path, code=1, **empty)
    path.write_bytes(data.replace(b'"platform":"linux/amd64"', b'"platform":"linux/s390x"'))
    assert "this bundle is for linux/s390x" in shop.core("bundle", "apply", path, code=2, **empty)
    assert shop.core("image", "ls", "--json", **empty) == []
