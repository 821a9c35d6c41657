"""Rows 5, 6, 10, 13, 15, 24, 33: torn records, cut unpacking, a full disk, no addresses left, a volume in use."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress

import pytest

from bayplan.errors import ConflictError
from bayplan.models import Container, Endpoint, ImageReference, Network, Stack, Volume
from bayplan.reconcile.planner import make_plan
from bayplan.runtime.native.images.layers import Layers
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.native.runtime import NativeRuntime
from bayplan.runtime.native.state import Database
from bayplan.runtime.native.state import database as state
from bayplan.runtime.native.supervisor import client
from bayplan.system import trees
from faults.core import COMPOSE, Core, add_image, ask, free_port, layer

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def torn(data):
    return data[: len(data) // 2]


def emptied(data):
    return b""


def overwritten(data):
    middle = len(data) // 2 // 4096 * 4096
    return data[:middle] + b"\x5a" * 4096 + data[middle + 4096 :]


@pytest.mark.parametrize("damage", [torn, emptied, overwritten])
def test_a_damaged_record_is_told_and_nothing_is_touched(up, damage):
    """Fault row 13: not readable is not empty, with which every container would be unknown and in the way."""
    path = up.settings.state_root / "state.db"
    # Nobody else may hold the file, or what is put back below is not what was there.
    watching, _ = client.holder(up.settings)
    watching.send(signal.SIGTERM)
    assert watching.wait(10)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    good, before = path.read_bytes(), up.pids()
    try:
        path.write_bytes(damage(good))
        for verb in ("plan", "apply", "status", "destroy"):
            said = up.call(verb, code=1)
            assert "record file cannot be read" in said
            assert str(path) in said
            assert "Traceback" not in said
    finally:
        for name in ("state.db-wal", "state.db-shm"):
            path.with_name(name).unlink(missing_ok=True)
        path.write_bytes(good)
    assert up.pids() == before
    again = up.call("apply", "--json")
    assert {step["action"] for step in again["plan"]["steps"]} == {"heal"}, "the supervisor, nothing else"
    assert up.pids() == before


@pytest.mark.parametrize("whole", [True, False])
def test_a_deleted_record_is_adopted_again(up, whole):
    """Fault row 14: nothing is made anew, volumes stay, the supervisor comes to know the file that is there now."""
    before = up.pids()
    up.call("exec", "-T", "store", "sh", "-c", "echo kept > /data/mine")
    for name in ("state.db", *(("state.db-wal", "state.db-shm") if whole else ())):
        (up.settings.state_root / name).unlink()
    said = up.call("plan")
    assert "was brought back from its copy" in said
    again = up.call("apply", "--json")
    assert {step["action"] for step in (again["plan"] or {"steps": []})["steps"]} <= {"heal"}
    assert up.pids() == before
    assert up.call("exec", "-T", "store", "cat", "/data/mine") == "kept\n"
    assert "brought back" not in up.call("plan")
    # A container that ends now is started again by a supervisor that reads what is recorded now.
    up.call("apply", GREETING="bonjour")
    assert up.call("apply", "--json", GREETING="bonjour")["changed"] is False


def test_nothing_comes_back_where_nothing_is_left(up):
    up.call("destroy", "--volumes")
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (up.settings.state_root / name).unlink(missing_ok=True)
    assert up.status() == {}
    up.call("apply")


def test_a_damaged_journal_is_named(up):
    path = up.settings.state_root / "record.db"
    for name in ("record.db-wal", "record.db-shm"):
        path.with_name(name).unlink(missing_ok=True)
    path.write_bytes(b"not a database" * 100)
    said = up.call("apply", code=1, GREETING="bonjour")
    assert str(path) in said
    assert "Traceback" not in said
    path.unlink()
    up.call("apply", GREETING="bonjour")


def test_a_migration_keeps_a_whole_backup(tmp_path, monkeypatch):
    """Fault row 15: what is still in the write-ahead log belongs to it."""
    path = tmp_path / "state.db"
    first = Database(path)
    with first.transaction() as tx:
        tx.execute("INSERT INTO volumes VALUES ('v', 'p', '{}', 'now')")
    monkeypatch.setattr(state, "MIGRATIONS", (*state.MIGRATIONS, "CREATE TABLE more (a TEXT) STRICT;"))
    Database(path).close()
    first.close()
    (backup,) = tmp_path.glob("*.backup")
    with closing(sqlite3.connect(backup)) as held:
        assert held.execute("SELECT name FROM volumes").fetchall() == [("v",)]
        assert held.execute("SELECT count(*) FROM sqlite_master WHERE name = 'more'").fetchone() == (0,)
    held.close()


def test_a_cut_unpacking_leaves_no_layer_and_its_rest_goes(tmp_path):
    """Fault row 6."""
    images, layers = tmp_path / "images", tmp_path / "layers"
    add_image(images, data=layer(padding=20_000_000))
    code = f"""
import os, signal
from pathlib import Path
from bayplan.runtime.native.images.layers import Layers
from bayplan.runtime.native.images.store import ImageStore
store = ImageStore(Path({str(images)!r}))
def report(progress):
    if progress.done > 10_000_000:
        os.kill(os.getpid(), signal.SIGKILL)
Layers(Path({str(layers)!r})).ensure(store.get(store.list()["docker.io/lab/busybox:latest"]), store, report)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert [item.name[:6] for item in layers.iterdir() if item.is_dir()] == [".part-"]
    store = ImageStore(images)
    with store.in_use():
        store.sweep(layers)
    assert list(layers.glob(".part-*")) != [], "a running unpacking was disturbed"
    store.sweep(layers)
    assert list(layers.iterdir()) == []
    (made,) = Layers(layers).ensure(store.get(store.list()["docker.io/lab/busybox:latest"]), store)
    assert (made / "padding").stat().st_size == 20_000_000
    assert list(layers.iterdir()) == [made]


def test_a_cut_collection_leaves_no_part_of_a_layer(tmp_path, monkeypatch):
    store, layers = ImageStore(tmp_path / "images"), Layers(tmp_path / "layers")
    add_image(store.root)
    (made,) = layers.ensure(store.get(store.list()["docker.io/lab/busybox:latest"]), store)
    for reference in store.list():
        store.remove(ImageReference.parse(reference))

    def cut(path, **_):
        raise OSError("cut")

    monkeypatch.setattr(trees, "remove", cut)
    with pytest.raises(OSError, match="cut"):
        store.collect(layers.root)
    assert not made.exists()


@pytest.fixture
def small(tmp_path):
    """A core whose state is on a file system of 24 MB."""
    root = tmp_path / "state"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", root], check=True)
    file = tmp_path / "compose.yaml"
    file.write_text(COMPOSE)
    core = Core(file, {"PORT": str(free_port())}, state_root=root / "core")
    add_image(core.settings.state_root / "images")
    try:
        yield core
        core.call("destroy", "--volumes")
        left = [item for item in core.left() if not item.startswith("mount ")]
        assert left == []
    finally:
        core.remove()
        subprocess.run(["umount", "-l", root], check=True)


def test_a_full_disk_is_one_message_and_what_runs_goes_on(small):
    """Fault row 10."""
    port = int(small.variables["PORT"])
    small.call("apply")
    before = small.pids()
    filler = small.settings.state_root.parent / "filler"
    # An image whose layer does not fit: its unpacking fails half-way, and its part is taken away again.
    add_image(small.settings.state_root / "images", "lab/large", layer(padding=6_000_000))
    free = shutil.disk_usage(filler.parent).free
    filler.write_bytes(b"x" * (free - 5_000_000))
    text = small.file.read_text()
    small.file.write_text(text.replace("lab/busybox", "lab/large", 1))
    said = small.call("apply", code=1)
    assert "No space left" in said or "no space is left" in said
    assert "Traceback" not in said
    assert list((small.settings.state_root / "layers").glob(".part-*")) == []
    assert small.pids() == before
    assert ask(port) == b"hello\n"
    # Not even a record fits: refused before anything is stopped.
    small.file.write_text(text)
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)
    said = small.call("apply", code=1, GREETING="bonjour")
    assert "space" in said
    assert "Traceback" not in said
    assert ask(port) == b"hello\n"
    filler.unlink()
    assert small.pids() == before
    small.call("apply", GREETING="bonjour")
    assert ask(port) == b"bonjour\n"


def native(core):
    return NativeRuntime(core.settings)


def refused(core, stack, match, absent=()):
    runtime = native(core)
    try:
        with pytest.raises(ConflictError, match=match):
            make_plan(stack, runtime, absent=absent)
    finally:
        runtime.close()


def containers(count, network, **options):
    return tuple(
        Container(name=f"c{number}", image="lab/busybox", networks=(Endpoint(network=network, **options),))
        for number in range(count)
    )


def test_too_few_addresses_are_refused_before_anything(up):
    """Fault row 24."""
    network = Network(name="tiny", subnet="10.219.9.0/29")
    refused(up, Stack(name="t", networks=(network,), containers=containers(6, "tiny")), "tiny has 5 addresses")
    taken = containers(2, "tiny", ipv4_address="10.219.9.4")
    refused(up, Stack(name="t", networks=(network,), containers=taken), "10.219.9.4 .* held by container c0")
    outside = containers(1, "tiny", ipv4_address="10.219.8.4")
    refused(up, Stack(name="t", networks=(network,), containers=outside), "10.219.8.4 is not in")
    assert up.query("SELECT count(*) FROM leases WHERE network = 'tiny'") == [(0,)]


def test_a_full_pool_is_refused_before_anything(up):
    """Fault row 24."""
    settings = up.settings.model_copy(update={"address_pool": "10.217.0.0/23"})
    runtime = NativeRuntime(type(settings).model_validate(settings.model_dump()))
    try:
        with pytest.raises(ConflictError, match="no free range is left in the address pool"):
            make_plan(Stack(name="t", networks=(Network(name="one-more"),)), runtime)
    finally:
        runtime.close()


def test_a_volume_in_use_is_refused_naming_its_users(up):
    """Fault row 33."""
    volume = Volume(name="shop_data")
    refused(up, Stack(name=""), "volume shop_data is used by containers shop-store-1", absent=(volume.id,))
    assert up.call("apply", "--json")["changed"] is False


def test_a_removed_volume_is_gone_at_once(up, monkeypatch):
    """Cut in the middle, no half of its data may be found under its name."""
    up.call("destroy")
    runtime = native(up)
    try:
        (runtime.volumes.path("shop_data") / "marker").write_text("x")
        monkeypatch.setattr(trees, "remove", lambda *_, **__: None)
        runtime.volumes.delete("shop_data")
        assert not runtime.volumes.path("shop_data").parent.exists()
        monkeypatch.undo()
        with runtime.lock("a test"):
            assert list(runtime.volumes.root.iterdir()) == []
    finally:
        runtime.close()


def test_what_no_record_names_is_found_and_left(up):
    """Fault rows 5 and 14: a power cut may take the last records, an older backup has fewer."""
    assert up.call("check") == "Nothing is damaged.\n"
    stray = "f" * 64
    places = [
        up.settings.state_root / "containers" / stray,
        up.settings.run_root / "containers" / stray,
        up.settings.state_root / "volumes/gone",
    ]
    for place in places:
        (place / "_data").mkdir(parents=True)
    said = up.call("check", code=1)
    assert [place for place in places if f"directory {place}: no record names it" not in said] == []
    up.call("apply")
    for place in places:
        assert (place / "_data").is_dir()
        shutil.rmtree(place)
    assert up.call("check") == "Nothing is damaged.\n"
