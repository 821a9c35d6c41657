"""Pull from a real docker-registry on loopback and unpack, with archives that try to leave their layer."""

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3
import zstandard

from bayplan.errors import CorruptStateError, NotFoundError, UnavailableError, UnsupportedError
from bayplan.models.reference import ImageReference
from bayplan.models.settings import Settings
from bayplan.registry.client import RegistryClient
from bayplan.runtime.native.images.layers import Layers
from bayplan.runtime.native.images.pull import pull
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.native.images.stored import Descriptor, ImageConfig, StoredImage

pytestmark = pytest.mark.host


def client(root, host=None):
    conf = root / "registries.conf"
    conf.write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n' if host else "")
    return RegistryClient(Settings(registries_conf=(conf,)))


def entry(name, kind=tarfile.REGTYPE, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime = kind, len(data), 1000
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def layer(*entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def documents(*tars):
    blobs = [gzip.compress(data, mtime=0) for data in tars]
    config = {"os": "linux", "architecture": "amd64", "config": {"Cmd": ["/sh"]}}
    config["rootfs"] = {"type": "layers", "diff_ids": [digest_of(data) for data in tars]}
    raw = json.dumps(config).encode()

    def describe(data, kind):
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest_of(data), "size": len(data)}

    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    manifest["config"] = describe(raw, "config.v1+json")
    manifest["layers"] = [describe(blob, "layer.v1.tar+gzip") for blob in blobs]
    return [raw, *blobs], json.dumps(manifest).encode()


def push(host, *tars):
    blobs, manifest = documents(*tars)
    http = urllib3.PoolManager(retries=False)
    for blob in blobs:
        where = http.request("POST", f"http://{host}/v2/app/blobs/uploads/").headers["Location"]
        target = f"{where}&digest={digest_of(blob)}"
        assert http.request("PUT", target, body=blob).status == 201
    kind = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
    assert http.request("PUT", f"http://{host}/v2/app/manifests/1", body=manifest, headers=kind).status == 201
    http.clear()
    return digest_of(manifest)


def unpacked(root, *tars):
    store = ImageStore(root / "images")
    blobs, manifest = documents(*tars)
    for data in [*blobs, manifest]:
        store.write(digest_of(data), [data])
    return Layers(root / "layers").ensure(store.get(digest_of(manifest)), store)


def test_pull_brings_what_was_pushed_and_skips_what_is_there(root, registry):
    pushed = push(registry, layer(entry("sh", data=b"#!", mode=0o4755, uid=7)))
    ref = ImageReference.parse(f"{registry}/app:1")
    own, store, reports = client(root, registry), ImageStore(root / "images"), []
    digest, size = own.resolve(ref)
    assert digest == pushed
    layers = Layers(root / "layers")
    assert pull(store, layers, own, ref, digest, None, reports.append) == store.find(ref) == pushed
    assert sum(r.done for r in reports if r.done == r.total and "pull" in r.label) == size
    reports.clear()
    pull(store, layers, own, ref, None, None, reports.append)
    assert reports == []
    (lower,) = layers.ensure(store.get(pushed), store, reports.append)
    assert reports == []
    found = (lower / "sh").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_mtime) == (0o4755, 7, 1000)
    with pytest.raises(NotFoundError, match="app:none"):
        own.resolve(ImageReference.parse(f"{registry}/app:none"))
    with pytest.raises(UnavailableError, match=registry):  # plain HTTP only where the configuration says so
        client(root).resolve(ref)


def test_whiteouts_become_what_overlay_reads_topmost_first(root):
    low = layer(entry("a", data=b"1"), entry("d", tarfile.DIRTYPE, mode=0o755), entry("d/x", data=b"2"))
    top = layer(entry(".wh.a"), entry("d", tarfile.DIRTYPE, mode=0o750), entry("d/.wh..wh..opq"))
    first, second = unpacked(root, low, top)
    hidden = (first / "a").lstat()
    assert stat.S_ISCHR(hidden.st_mode)
    assert hidden.st_rdev == 0
    assert os.getxattr(first / "d", "trusted.overlay.opaque") == b"y"
    assert stat.S_IMODE((first / "d").stat().st_mode) == 0o750
    assert (second / "d/x").read_bytes() == b"2"


@pytest.mark.parametrize("target", ["{decoy}", "../../../../../../../../../..{decoy}"])
def test_links_do_not_lead_out_of_the_layer(root, target):
    decoy = root / "decoy"
    decoy.mkdir()
    (decoy / "file").write_text("kept")
    out = target.format(decoy=decoy)
    evil = layer(
        entry("way", tarfile.SYMTYPE, linkname=out),
        entry(str(decoy).lstrip("/") + "/keep", data=b"inside"),
        entry("way/file", data=b"changed"),
        entry("way/.wh.other"),
    )
    (lower,) = unpacked(root, evil)
    assert (decoy / "file").read_text() == "kept"
    assert [path.name for path in decoy.iterdir()] == ["file"]
    assert (lower / str(decoy).lstrip("/") / "file").read_text() == "changed"


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (entry("../out", data=b"x"), CorruptStateError),
        (entry("disk", tarfile.BLKTYPE, devmajor=8), UnsupportedError),
        (entry("name", tarfile.LNKTYPE, linkname="nowhere/file"), CorruptStateError),
        (entry("owner", pax_headers={"uid": str(2**32 - 1)}), CorruptStateError),
        (entry("owner", pax_headers={"gid": "-1"}), CorruptStateError),
        (entry("large", pax_headers={"size": "-100000"}), CorruptStateError),
        (entry("when", pax_headers={"mtime": "1e30"}), CorruptStateError),
        (entry("long", pax_headers={"comment": "x" * (5 << 20)}), CorruptStateError),
        (entry("d/" * 1500 + "file"), CorruptStateError),
    ],
)
def test_a_refused_layer_leaves_no_directory(root, bad, error):
    with pytest.raises(error):
        unpacked(root, layer(bad))
    assert [path for path in (root / "layers").iterdir() if path.is_dir()] == []


def test_a_damaged_entry_is_not_taken_for_the_end_of_the_layer(root):
    damaged = bytearray(layer(entry("first", data=b"x"), entry("second", data=b"y")))
    damaged[1024] ^= 0xFF  # the second header: its checksum is wrong
    with pytest.raises(CorruptStateError, match="damaged header"):
        unpacked(root, bytes(damaged))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_broken_compression_is_a_corrupt_layer(root, pack):
    blob = bytearray(pack(layer(entry("a", data=os.urandom(4096)))))
    blob[6 if pack is zstandard.compress else -6] ^= 0xFF  # zstd: the first block's header; gzip: its CRC
    digest, plain = digest_of(bytes(blob)), digest_of(b"")
    store = ImageStore(root / "images")
    store.write(digest, [bytes(blob)])
    image = StoredImage(digest, ImageConfig(), (plain,), (Descriptor(digest, len(blob), ""),), len(blob))
    with pytest.raises(CorruptStateError, match="compressed data are broken"):
        Layers(root / "layers").ensure(image, store)
    assert [path for path in (root / "layers").iterdir() if path.is_dir()] == []


def test_a_layer_that_lies_gives_the_image_no_name_and_leaves_no_directory(root, registry):
    good, evil = layer(entry("a", data=b"x" * 100_000)), layer(entry("../out", data=b"x"))
    push(registry, good, evil, good)
    store, ref = ImageStore(root / "images"), ImageReference.parse(f"{registry}/app:1")
    with pytest.raises(CorruptStateError, match=r"'\.\./out' of a layer leads out"):
        pull(store, Layers(root / "layers"), client(root, registry), ref)
    assert store.list() == {}
    assert [path for path in (root / "layers").iterdir() if path.is_dir()] == []


def test_many_at_once_unpack_each_layer_once_and_wait_for_the_others(root):
    tars = [layer(entry(f"{number}", data=bytes(2_000_000))) for number in range(4)]
    unpacked(root / "first", *tars)
    store, reports = ImageStore(root / "first/images"), []
    (digest,) = [path.name for path in store.blobs.iterdir() if b"layer.v1.tar" in path.read_bytes()[:2000]]
    image = store.get(f"sha256:{digest}")
    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(Layers(root / "second").ensure, image, store, reports.append) for _ in range(6)]
    assert len({job.result() for job in jobs}) == 1
    whole = [item.label for item in reports if item.done == item.total]
    assert len(set(whole)) == 4
    assert len([path for path in (root / "second").iterdir() if path.is_dir()]) == 4


def test_a_tag_that_moves_after_the_plan_moves_nothing(root, registry):
    """Fault row 28: the planned digest is pulled, and is what the name means here."""
    planned = push(registry, layer(entry("a", data=b"planned")))
    ref, own = ImageReference.parse(f"{registry}/app:1"), client(root, registry)
    digest, _ = own.resolve(ref)
    moved = push(registry, layer(entry("a", data=b"moved")))
    store, layers = ImageStore(root / "images"), Layers(root / "layers")
    assert pull(store, layers, own, ref, digest) == store.find(ref) == planned != moved
    (lower,) = layers.ensure(store.get(planned), store)
    assert (lower / "a").read_bytes() == b"planned"


def test_a_pull_that_is_collected_meanwhile_loses_nothing(root, registry):
    """Fault row 18: what a pull has brought has no name yet, and its lease keeps the collector away."""
    push(registry, layer(entry("a", data=bytes(300_000))), layer(entry("b", data=bytes(300_000))))
    store, layers, collected = ImageStore(root / "images"), Layers(root / "layers"), []

    def report(progress):
        if progress.done == progress.total:
            collected.append(store.collect(layers.root))
            store.sweep(layers.root)

    ref = ImageReference.parse(f"{registry}/app:1")
    digest = pull(store, layers, client(root, registry), ref, None, None, report)
    assert set(collected) == {0}
    assert len(collected) > 3
    assert len(layers.ensure(store.get(digest), store)) == 2
    assert store.collect(layers.root) == 0
    store.remove(ref)
    assert store.collect(layers.root) == 6


def test_a_pull_that_is_stopped_ends_what_is_under_way(root, registry):
    """Fault row 21: one layer fails, and the others are not brought to their end first."""
    evil = layer(entry("../out", data=b"x"))
    push(registry, evil, *(layer(entry("big", data=os.urandom(8_000_000))) for _ in range(3)))
    store, seen = ImageStore(root / "images"), []
    with pytest.raises(CorruptStateError, match="leads out"):
        pull(
            store,
            Layers(root / "layers"),
            client(root, registry),
            ImageReference.parse(f"{registry}/app:1"),
            None,
            None,
            seen.append,
        )
    assert store.list() == {}
    assert list((root / "layers").glob(".part-*")) == []
    assert list(store.blobs.glob(".part-*")) == []
