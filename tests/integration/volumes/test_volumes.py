import pytest

from bayplan.errors import ConflictError
from bayplan.models import Container, Settings, Volume
from bayplan.runtime.native.containers import Containers
from bayplan.runtime.native.state import Database
from bayplan.runtime.native.volumes import Volumes


@pytest.fixture
def core(tmp_path):
    settings = Settings(state_root=tmp_path / "s", run_root=tmp_path / "r")
    database = Database(settings.state_root / "state.db")
    yield settings, database
    database.close()


def test_data_outlives_a_second_create_and_goes_with_delete(core):
    volumes = Volumes(*core)
    volumes.create(Volume(name="v"), "p")
    (volumes.path("v") / "file").write_text("kept")
    volumes.create(Volume(name="v", labels={"a": "b"}), "p")
    assert (volumes.path("v") / "file").read_text() == "kept"
    volumes.delete("v")
    volumes.delete("v")
    assert volumes.observe("p", []) == []
    assert not volumes.path("v").parent.exists()


def test_a_volume_in_use_is_kept(core):
    volumes = Volumes(*core)
    volumes.create(Volume(name="v"), "p")
    mount = {"type": "volume", "source": "v", "target": "/data"}
    Containers(*core).reserve("0" * 64, Container(name="user", image="x", mounts=[mount]), "p", "")
    with pytest.raises(ConflictError, match="used by containers user"):
        volumes.delete("v")
    assert volumes.path("v").is_dir()


def test_a_missing_directory_is_drift_and_mended(core):
    volumes = Volumes(*core)
    volumes.create(Volume(name="v"), "p")
    volumes.path("v").rmdir()
    assert volumes.observe(None, ["v"])[0].defects == {"its directory is gone": "in-place"}
    volumes.heal("v")
    assert volumes.observe("p", [])[0].defects == {}
