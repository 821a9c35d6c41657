"""Bundles written and read without an engine: the same bytes; hostile ones refused before anything is taken of them."""

import hashlib
import io
import json
import tarfile
import textwrap

import pytest

from bayplan.errors import BayplanError, ConflictError, CorruptStateError, DeclarationError, UnsupportedError
from bayplan.load.compose import load_text
from bayplan.models import Pin
from bayplan.resolve import pins
from bayplan.resolve.bundle import archive, making, opening, reading
from bayplan.resolve.bundle.opening import Given
from bayplan.resolve.lockfile import Lock
from bayplan.runtime.protocol import Snapshot

NAME = "docker.io/lab/web:1"
TEXT = """
services:
  web:
    image: lab/web:1
    environment: {LEVEL: info, DB_PASSWORD: planted-secret}
    volumes: ["./conf:/etc/web:ro", "./data:/data", "./one:/one"]
    configs: [motd]
    secrets: [key]
configs: {motd: {content: welcome}}
secrets: {key: {file: ./key}}
"""


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def tar(members, kind=tarfile.REGTYPE):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(data)
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


def image(name=NAME, word="x"):
    """Members of an OCI layout that Docker reads too, and the pin of its only image."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "word": word}).encode()
    manifest = json.dumps({"config": {"digest": digest(config)}, "layers": []}).encode()
    entry = {"digest": digest(manifest), "annotations": {"org.opencontainers.image.ref.name": name}}
    row = {"Config": f"blobs/sha256/{digest(config)[7:]}", "RepoTags": [name], "Layers": []}
    members = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps({"manifests": [entry]}).encode(),
        "manifest.json": json.dumps([row]).encode(),
        f"blobs/sha256/{digest(manifest)[7:]}": manifest,
        f"blobs/sha256/{digest(config)[7:]}": config,
    }
    own = {"linux/amd64": digest(manifest)}
    return members, Pin(digest=digest(manifest), platforms=own, ids={"linux/amd64": digest(config)})


class Maker:
    """Writes bundles of the stack in a directory."""

    def __init__(self, directory):
        self.directory = directory
        (directory / "conf/more").mkdir(parents=True)
        (directory / "conf/more/setting").write_text("set")
        (directory / "data").mkdir()
        (directory / "data/kept").write_text("data is no part of it")
        (directory / "one").write_text("one")
        (directory / "one").chmod(0o600)
        (directory / "key").write_text("planted-key")

    def __call__(self, path, members=None):
        found, pin = image()
        stack = load_text(textwrap.dedent(TEXT), label="c", project_directory=self.directory, project_name="shop")
        lock = Lock(images={NAME: pin.model_copy(update={"ids": {}})})
        stack, _ = pins.held(stack, lock, "bayplan.lock", strict=True)
        saved = path.with_suffix(".images")
        saved.write_bytes(tar((members or found).items()))
        pieces = [*making.pieces_of(stack, lock.text().encode()), making.images_piece(saved)]
        bundle = making.bundle_of(stack, {NAME: pin}, "linux/amd64", pieces)
        with path.open("wb") as out:
            making.write(out, bundle, pieces)
        return path


@pytest.fixture
def make(tmp_path):
    return Maker(tmp_path / "shop")


@pytest.fixture
def made(make, tmp_path):
    return make(tmp_path / "shop.bundle")


def rewritten(path, change=lambda name, data: data, add=()):
    """The bundle with members changed."""
    target = path.with_name("hostile.bundle")
    with tarfile.open(path) as source, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as out:
        for info in source:
            data = change(info.name, source.extractfile(info).read() if info.isreg() else b"")
            if data is not None:
                info.size = len(data)
                out.addfile(info, io.BytesIO(data))
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


def refusal(path):
    with pytest.raises(BayplanError) as refused, reading.opened(path):
        pytest.fail("it was opened")
    return refused.value


def test_the_same_declaration_gives_the_same_bytes_from_anywhere(made, tmp_path):
    other = Maker(tmp_path / "elsewhere/shop")(tmp_path / "other.bundle")
    assert other.read_bytes() == made.read_bytes()
    assert b"planted" not in made.read_bytes()
    assert str(tmp_path).encode() not in made.read_bytes()
    with reading.opened(made) as found:
        assert [(member.name, oct(member.mode)) for member in found.files()] == [
            ("conf", "0o755"),
            ("conf/more", "0o755"),
            ("conf/more/setting", "0o644"),
            ("data", "0o755"),
            ("one", "0o600"),
        ]


@pytest.mark.parametrize(
    ("change", "error", "what"),
    [
        (index(lambda found: found.update(format=2, made_by="9")), UnsupportedError, "made by bayplan 9"),
        (index(lambda found: found.update(extra=1)), CorruptStateError, "bundle.json is malformed: extra"),
        (index(lambda found: found["members"].append(found["members"][0])), CorruptStateError, "lists a member twice"),
        (index(lambda found: found["images"].clear()), CorruptStateError, "is not in the bundle as it is locked"),
        (
            index(lambda found: found["stack"]["containers"][0].update(privileged=True)),
            CorruptStateError,
            "not the one that its fingerprint is of",
        ),
        (index(lambda found: found["stack"].update(directory="/etc")), CorruptStateError, "not the one that its"),
        (lambda name, data: data + b"x" if name.endswith("setting") else data, CorruptStateError, "is not what the"),
        (lambda name, data: b"" if name == "bayplan.lock" else data, CorruptStateError, "is not what the bundle's"),
        (lambda name, data: None if name == "images.tar" else data, CorruptStateError, "has no images.tar"),
        (lambda name, data: None if name == "bundle.json" else data, DeclarationError, "it has no bundle.json"),
        (lambda name, data: b"{" if name == "bundle.json" else data, DeclarationError, "bundle.json is not JSON"),
    ],
)
def test_what_is_not_as_its_index_says_is_refused(made, change, error, what):
    refused = refusal(rewritten(made, change))
    assert isinstance(refused, error)
    assert what in str(refused)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "files/../../evil", "files//evil", "files/.", "a\0b", "x" * 5000]
)
def test_no_name_leads_out(made, name):
    listed = index(lambda found: found["members"].append({"name": name, "digest": digest(b"x"), "size": 1}))
    assert "bundle.json is malformed: members" in str(refusal(rewritten(made, listed)))


def test_members_that_nobody_listed_links_and_doubles_are_refused(made):
    plain, link, hard, twice = (tarfile.TarInfo(name) for name in ("more", "files/link", "files/hard", "files/one"))
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard.type, hard.linkname = tarfile.LNKTYPE, "files/one"
    assert "what its index does not list: 'more'" in str(refusal(rewritten(made, add=[(plain, b"x")])))
    assert "is neither a file nor a directory" in str(refusal(rewritten(made, add=[(link, b"")])))
    assert "is neither a file nor a directory" in str(refusal(rewritten(made, add=[(hard, b"")])))
    assert "two called 'files/one'" in str(refusal(rewritten(made, add=[(twice, b"x")])))


def test_a_cut_a_packed_and_another_file_is_no_bundle(made, tmp_path):
    import gzip

    cut, packed = tmp_path / "cut", tmp_path / "packed"
    cut.write_bytes(made.read_bytes()[:-12_000])
    packed.write_bytes(gzip.compress(made.read_bytes()))
    assert isinstance(refusal(cut), BayplanError)
    assert "this is no bundle" in str(refusal(packed))
    assert "the bundle cannot be read" in str(refusal(tmp_path / "gone"))


@pytest.mark.parametrize(
    ("members", "what"),
    [
        (image("docker.io/lab/postgres:1")[0], "other images than are declared"),
        ({**image()[0], **image("docker.io/lab/more:1", "y")[0]}, "other images than are declared"),
        (image(word="evil")[0], "another image under the name"),
        ({**image()[0], "manifest.json": image(word="evil")[0]["manifest.json"]}, "its two lists say otherwise"),
        ({**image()[0], "manifest.json": image("lab/x")[0]["manifest.json"]}, "its two lists of images differ"),
        ({name: data + b" " if "blobs" in name else data for name, data in image()[0].items()}, "another content"),
        ({**image()[0], "index.json": b"[" * 100_000}, "is no archive of images"),
        ({**image()[0], "index.json": b'{"manifests": [1]}'}, "is no archive of images"),
        ({"index.json": b'{"manifests": {}, "x": 1}', "manifest.json": b"{}"}, "other images than are declared"),
        ({"index.json": b'{"x": 1}'}, "is no archive of images"),
        ({}, "other images than are declared"),
    ],
)
def test_an_archive_of_other_images_is_refused(make, tmp_path, members, what):
    assert what in str(refusal(make(tmp_path / "hostile.bundle", members or {"none": b""})))


def test_an_archive_may_know_an_image_by_its_id_alone():
    members, pin = image()
    alone = {name: data for name, data in members.items() if name != "index.json"}
    assert archive.wrong(archive.named(io.BytesIO(tar(alone.items()))), {NAME: pin}) == ""


def test_files_are_put_in_place_and_no_link_there_leads_out(made, tmp_path):
    target, outside = tmp_path / "target", tmp_path / "outside"
    outside.mkdir()
    target.mkdir()
    (target / "conf").symlink_to(outside)
    with reading.opened(made) as found:
        with pytest.raises(BayplanError):
            opening.put_files(found, target)
        assert list(outside.iterdir()) == []
        (target / "conf").unlink()
        (target / "one").symlink_to(outside / "written")
        opening.put_files(found, target)
        opening.put_files(found, target)  # again is the same
    assert list(outside.iterdir()) == []
    assert (target / "conf/more/setting").read_text() == "set"
    assert (target / "one").read_text() == "one"
    assert (target / "one").stat().st_mode & 0o777 == 0o600
    assert list((target / "data").iterdir()) == []
    assert sorted(path.name for path in target.iterdir()) == ["conf", "data", "one"]
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked/conf").write_text("a file")
    with reading.opened(made) as found, pytest.raises(ConflictError, match="blocked/conf"):
        opening.put_files(found, tmp_path / "blocked")


def test_what_no_bundle_has_is_asked_for(made, tmp_path):
    target = tmp_path / "target"
    with reading.opened(made) as found:
        with pytest.raises(DeclarationError, match="the value of DB_PASSWORD is in no bundle"):
            opening.declared(found, target, Given({}, {}), Snapshot())
        given = {"DB_PASSWORD": "from-here"}
        with pytest.raises(DeclarationError, match=f"or put it at {target}/key"):
            opening.declared(found, target, Given(given, {}), Snapshot())
        stack = opening.declared(found, target, Given(given, {"key": b"held"}), Snapshot())
    (web,) = stack.containers
    assert web.environment == {"LEVEL": "info", "DB_PASSWORD": "from-here"}
    assert web.secrets[0].content.get_secret_value() == b"held"
    assert web.configs[0].content.get_secret_value() == b"welcome"
    assert {mount.source for mount in web.mounts} == {f"{target}/{name}" for name in ("conf", "data", "one")}
    (taken,) = opening.applied(stack).images
    assert (taken.pull, taken.pin.ids) == ("never", {"linux/amd64": image()[1].ids["linux/amd64"]})
