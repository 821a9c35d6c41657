"""A bundle made on one core and applied on another that reaches no registry; hostile ones are refused."""

import hashlib
import io
import json
import os
import tarfile

import pytest

from bayplan.bundles import opened
from bayplan.errors import BayplanError

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


def rewritten(path, change=lambda name, data: data, add=()):
    """The bundle with members changed; the index follows when its own members are."""
    target = path.with_name("hostile.bundle")
    with tarfile.open(path) as source, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as out:
        members = [(info, source.extractfile(info).read() if info.isreg() else b"") for info in source]
        for info, data in members:
            content = change(info.name, data)
            if content is not None:
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))
        for info, data in add:
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return target


def index(change):
    """A change of ``bundle.json`` alone."""

    def changed(name, data):
        if name != "bundle.json":
            return data
        found = json.loads(data)
        change(found)
        return json.dumps(found).encode()

    return changed


def test_an_offline_host_makes_the_same_environment(shop, made, prod):
    path, fingerprint = made
    data = path.read_bytes()
    assert b"planted" not in data
    shown = shop("bundle", "show", path, "--json")
    assert shown["asks_for"] == {"environment": ["DB_PASSWORD"], "secrets": ["key"]}
    assert shown["files"] == ["conf", "conf/more", "conf/more/setting"]
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


def test_a_hostile_bundle_is_refused_before_anything_is_taken_of_it(shop, made, prod):
    path, _ = made
    evil = tarfile.TarInfo("../evil")
    link = tarfile.TarInfo("files/conf/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    other = tarfile.TarInfo("files/more")
    own = hashlib.sha256(b"x").hexdigest()

    def listed(name):
        return index(lambda found: found["members"].append({"name": name, "size": 1, "digest": f"sha256:{own}"}))

    def images_of_nobody(name, data):
        return data.replace(b"/web:1", b"/wab:1") if name == "images.tar" else data

    def fresh(found):
        found["stack"]["containers"][0]["privileged"] = True

    cases = [
        ({"add": [(evil, b"x")]}, "has what its index does not list"),
        ({"add": [(evil, b"x")], "change": listed("../evil")}, "bundle.json is malformed: members"),
        ({"change": listed("/etc/evil")}, "bundle.json is malformed: members"),
        ({"add": [(link, b"")]}, "is neither a file nor a directory"),
        ({"add": [(other, b"x"), (other, b"x")]}, "two called 'files/more'"),
        (
            rewritten,
            {"change": lambda name, data: data + b"x" if name.endswith("setting") else data},
            "is not what the",
        ),
        ({"change": lambda name, data: None if name == "images.tar" else data}, "has no images.tar"),
        ({"change": images_of_nobody}, "images.tar is not what the bundle's index says"),
        ({"change": index(fresh)}, "the declaration is not the one that its fingerprint is of"),
        ({"change": index(lambda found: found["images"].clear())}, "is not in the bundle as it is locked"),
        ({"change": index(lambda found: found.update(format=2, made_by="9"))}, "made by bayplan 9"),
    ]
    for options, what in cases:
        with pytest.raises(BayplanError) as refused, opened(rewritten(path, **options)):
            pytest.fail(f"it was opened, though: {what}")
        assert what in str(refused.value)
    short = path.with_name("short.bundle")
    short.write_bytes(path.read_bytes()[:-20_000])
    assert "Error" in shop.core("bundle", "apply", short, code=None, **prod)
    assert "this is no bundle" in shop.core("bundle", "apply", shop.file, code=2, **prod)
    assert shop.core("image", "ls", "--json", **prod) == []
    far = rewritten(path, index(lambda found: found.update(platform="linux/s390x")))
    assert "this bundle is for linux/s390x" in shop.core("bundle", "apply", far, code=2, **prod)
