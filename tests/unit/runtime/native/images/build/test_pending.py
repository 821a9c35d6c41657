import errno
import os

import pytest

from bayplan.runtime.native.images.build import layer
from bayplan.runtime.native.images.build import pending as module
from bayplan.runtime.native.images.build.assemble import Tree
from bayplan.runtime.native.images.build.cache import Cache
from bayplan.runtime.native.images.build.pending import Pending
from bayplan.runtime.native.images.layers import Layers
from bayplan.runtime.native.images.store import ImageStore


@pytest.fixture
def rooms(tmp_path):
    return ImageStore(tmp_path / "images"), Layers(tmp_path / "layers"), Cache(tmp_path / "cache")


def add(pending, tmp_path, name, text):
    upper = tmp_path / name / "upper"
    upper.mkdir(parents=True)
    (upper / "file").write_text(text)
    return pending.add("image", [f"key-{name}"], Tree(), upper, 0, may_be_none=False)


def names(rooms):
    store, layers, _ = rooms
    return sorted(path.name for top in (store.blobs, layers.root) for path in top.iterdir())


def test_layers_have_names_only_after_all_is_on_disk(rooms, tmp_path, monkeypatch):
    store, layers, cache = rooms
    pending = Pending(*rooms)
    first, second = add(pending, tmp_path, "a", "1"), add(pending, tmp_path, "b", "2")
    same = add(pending, tmp_path, "c", "1")
    assert same == first
    assert all(name.startswith(".part-") for name in names(rooms))
    assert (pending.path(first.chain) / "file").read_text() == "1"
    assert cache.get("key-a") is None
    synced = []
    monkeypatch.setattr(module, "syncfs", lambda fd, own=module.syncfs: synced.append(names(rooms)) or own(fd))
    pending.commit()
    assert all(name.startswith(".part-") for seen in synced for name in seen)
    assert not any(name.startswith(".") for name in names(rooms))
    for made, key in ((first, "key-a"), (second, "key-b"), (first, "key-c")):
        kept = cache.get(key)
        assert (kept.chain, kept.diff_id) == (made.chain, made.diff_id)
        assert store.blob(kept.digest).stat().st_mode & 0o777 == 0o600
        assert pending.path(made.chain) == layers.path(made.chain)
    pending.close()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_leaves_nothing(rooms, tmp_path, monkeypatch, error):
    """Fault rows 10 and 11: a full disk, and an error of syncing, after which nothing is synced again."""
    pending = Pending(*rooms)
    calls = []

    def fails(*_, **__):
        calls.append(1)
        raise OSError(error, os.strerror(error))

    if error == errno.EIO:
        monkeypatch.setattr(module, "syncfs", fails)
    else:
        monkeypatch.setattr(layer, "GzipSink", fails)
    add(pending, tmp_path, "a", "1")
    with pytest.raises(OSError, match=os.strerror(error)):
        pending.commit()
    pending.close()
    assert len(calls) == 1
    assert names(rooms) == []
    assert rooms[2].get("key-a") is None


def test_what_was_done_before_a_failure_is_kept(rooms, tmp_path):
    pending = Pending(*rooms)
    made = add(pending, tmp_path, "a", "1")
    pending.close()
    assert rooms[1].path(made.chain).is_dir()
    assert rooms[2].get("key-a") is not None


def test_what_could_not_be_named_is_not_tried_again(rooms, tmp_path):
    """The second try would find half of it gone, and hide the first error behind its own."""
    pending = Pending(*rooms)
    made = add(pending, tmp_path, "a", "1")
    rooms[1].path(made.chain).write_text("in the way")
    with pytest.raises(NotADirectoryError):
        pending.commit()
    pending.close()
    assert rooms[2].get("key-a") is None
    assert not any(name.startswith(".part-") for name in names(rooms))
