"""Fault rows 5 and 6: the power goes while an image is stored, unpacked and named; ext4 keeps what it had promised."""

import contextlib
import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from bayplan.models import ImageReference
from bayplan.runtime.native.images import store as store_module
from bayplan.runtime.native.images import unpacking
from bayplan.runtime.native.images.layers import Layers
from bayplan.runtime.native.images.store import ImageStore
from bayplan.system import files
from faults.disk import Disk, NoLoopError

pytestmark = pytest.mark.host
LAYERS, FILES, SIZE = 3, 20, 30_000
NAME = ImageReference.parse("lab/cut:1")


@pytest.fixture
def disk(tmp_path):
    try:
        made = Disk(tmp_path / "mnt", tmp_path / "disk")
    except NoLoopError as error:
        pytest.skip(f"no loop devices: {error}")
    yield made
    made.remove()


def content(layer, number):
    return hashlib.sha256(b"%d %d" % (layer, number)).digest() * (SIZE // 32)


def archive(layer):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number in range(FILES):
            info = tarfile.TarInfo(f"d{number % 3}/{number}")
            info.size = SIZE // 32 * 32
            tar.addfile(info, io.BytesIO(content(layer, number)))
    return out.getvalue()


def work(top):
    """What a load does: blobs, unpacking, name."""
    store, layers = ImageStore(top / "images"), Layers(top / "layers")

    def put(data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        store.write(digest, [data])
        return {"digest": digest, "size": len(data)}

    rows = [put(archive(number)) for number in range(LAYERS)]
    config = {"rootfs": {"diff_ids": [row["digest"] for row in rows]}}
    manifest = put(json.dumps({"config": put(json.dumps(config).encode()), "layers": rows}).encode())
    layers.ensure(store.get(manifest["digest"]), store)
    store.tag(NAME, manifest["digest"])


def look(top):
    """Whole or absent, each blob, layer and name; how many layers there are, and whether the image is named."""
    store, layers = ImageStore(top / "images"), Layers(top / "layers")
    for blob in store.blobs.glob("[0-9a-f]*"):
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    # Reading makes no directory: the power may have gone before there was one.
    trees = [path for path in layers.root.glob("*") if path.is_dir() and not path.name.startswith(".part-")]
    for tree in trees:
        found = {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
        wanted = [
            {f"d{number % 3}/{number}": content(layer, number) for number in range(FILES)} for layer in range(LAYERS)
        ]
        assert found in wanted, f"a torn layer: {[(name, len(data)) for name, data in found.items()]}"
    digest = store.find(NAME)
    if digest:
        assert len(trees) == LAYERS
        assert all(layers.path(chain).is_dir() for chain in store.get(digest).chain_ids)
    return len(trees), digest is not None


class CutError(Exception):
    pass


def cutting(monkeypatch, disk, at):
    """Take the power before the ``at``-th step that makes something durable or gives it a name."""
    count = 0

    def before(function):
        def called(*arguments, **options):
            nonlocal count
            count += 1
            if count == at:
                disk.cut()
                raise CutError
            return function(*arguments, **options)

        return called

    for module, name in (
        (os, "fsync"),
        (Path, "rename"),
        (unpacking, "syncfs"),
        (unpacking, "fsync_dir"),
        (store_module, "fsync_dir"),
        (files, "fsync_dir"),
    ):
        monkeypatch.setattr(module, name, before(getattr(module, name)))
    return lambda: count


def test_the_power_goes_before_any_step(disk, monkeypatch):
    at, seen = 1, set()
    while True:
        with monkeypatch.context() as patch:
            steps = cutting(patch, disk, at)
            with contextlib.suppress(CutError, OSError):
                work(disk.top)
            is_done = steps() < at
        if is_done:
            disk.cut()  # all promises were made
        disk.again()
        found = look(disk.top)
        assert not is_done or found == (LAYERS, True)
        seen.add(found)
        work(disk.top)
        assert look(disk.top) == (LAYERS, True)
        if is_done:
            break
        for item in disk.top.iterdir():
            subprocess.run(["rm", "-rf", item], check=True, timeout=60)
        os.sync()
        at += 1
    assert (0, False) in seen
    assert at > 20
