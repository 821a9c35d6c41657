import hashlib
import json
import os
import time

import pytest

from bayplan.errors import CorruptStateError, NotFoundError
from bayplan.models.reference import ImageReference
from bayplan.runtime.native.images import documents
from bayplan.runtime.native.images.layers import Layers
from bayplan.runtime.native.images.store import ImageStore

REF = ImageReference.parse("r.example/app:1")


def put(store, data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    store.write(digest, [data])
    return {"digest": digest, "size": len(data)}


def image(store, layer=b"layer"):
    config = {"config": {"Env": ["A=b"], "Cmd": None}, "rootfs": {"diff_ids": ["sha256:" + "1" * 64]}}
    manifest = {"config": put(store, json.dumps(config).encode()), "layers": [put(store, layer)]}
    return put(store, json.dumps(manifest).encode())["digest"]


def test_a_blob_of_another_content_leaves_nothing(tmp_path):
    store = ImageStore(tmp_path)
    with pytest.raises(CorruptStateError):
        store.write("sha256:" + "0" * 64, [b"other"])
    assert list(store.blobs.iterdir()) == []


def test_names_move_and_collection_frees_only_what_no_name_uses(tmp_path):
    store = ImageStore(tmp_path)
    first, second = image(store, b"one"), image(store, b"two")
    store.tag(REF, first)
    store.tag(REF, second)
    assert ImageStore(tmp_path).find(REF) == second
    store.collect()
    assert store.get(second).config.env == ("A=b",)
    with pytest.raises(NotFoundError):
        store.get(first)
    store.remove(REF)
    store.remove(REF)
    store.collect()
    assert store.list() == {}
    assert list(store.blobs.iterdir()) == []


def test_a_changed_document_and_a_broken_index_are_not_read_as_empty(tmp_path):
    store = ImageStore(tmp_path)
    digest = image(store)
    store.blob(digest).write_bytes(b"{}")
    with pytest.raises(CorruptStateError):
        store.get(digest)
    (tmp_path / "index.json").write_text("")
    with pytest.raises(CorruptStateError):
        store.find(REF)


def test_a_document_is_read_once_as_long_as_nobody_writes_to_it(tmp_path):
    store = ImageStore(tmp_path)
    digest = image(store)
    read = documents._read.cache_info().misses
    for _ in range(3):
        store.document(digest)["config"] = "what a caller does with it is its own"
    assert store.get(digest).config.env == ("A=b",)
    assert documents._read.cache_info().misses == read + 2
    path, found = store.blob(digest), store.blob(digest).stat()
    time.sleep(0.01)  # a tick of the kernel's clock, by which files have their times
    path.write_bytes(path.read_bytes().replace(b"config", b"cOnfig"))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    with pytest.raises(CorruptStateError, match="was changed"):
        store.document(digest)
    path.unlink()
    with pytest.raises(NotFoundError):
        store.document(digest)


def test_a_digest_cannot_name_a_path(tmp_path):
    with pytest.raises(CorruptStateError):
        ImageStore(tmp_path).blob("sha256:../../etc")


def test_collection_spares_a_pull_in_progress_and_what_containers_run_from(tmp_path):
    store = ImageStore(tmp_path)
    digest = image(store)
    with store.in_use():
        assert store.collect() == 0
    store.collect(keep_digests=[digest])
    assert store.get(digest).digest == digest
    assert store.collect() == 3


@pytest.mark.parametrize("diff_id", ["sha256:/", "/etc", "sha256:../../secrets", 7])
def test_a_layer_cannot_name_a_directory_of_the_host(tmp_path, diff_id):
    store = ImageStore(tmp_path)
    config = {"config": {}, "rootfs": {"diff_ids": [diff_id]}}
    manifest = {"config": put(store, json.dumps(config).encode()), "layers": [put(store, b"layer")]}
    digest = put(store, json.dumps(manifest).encode())["digest"]
    with pytest.raises(CorruptStateError, match="malformed"):
        store.get(digest)
    with pytest.raises(CorruptStateError, match="not a sha256 digest"):
        Layers(tmp_path / "layers").path(str(diff_id))


def test_collection_names_a_damaged_image_and_keeps_unpacked_layers_until_it_is_mended(tmp_path, caplog):
    store, layers = ImageStore(tmp_path / "images"), tmp_path / "layers"
    broken, gone = image(store, b"one"), image(store, b"two")
    store.tag(REF, broken)
    (layers / ("2" * 64)).mkdir(parents=True)
    store.blob(broken).write_bytes(b"{}")
    assert store.collect(layers) > 0
    assert "r.example/app:1 is damaged" in caplog.text
    assert not store.blob(gone).exists()
    assert (layers / ("2" * 64)).is_dir()
    store.remove(REF)
    store.collect(layers)
    assert list(layers.iterdir()) == []
