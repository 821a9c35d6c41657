"""What is recorded beside labels: by the engine's ids, made when something is recorded, never read as empty."""

import stat

import pytest

from bayplan.errors import CorruptStateError
from bayplan.models import Container
from bayplan.runtime.engine_api.declarations import Declarations, from_text
from unit.runtime.engine_api.declared import container


@pytest.fixture
def kept(tmp_path):
    found = Declarations(tmp_path / "state/engines.db")
    yield found
    found.close()


def test_reading_makes_nothing(kept):
    assert kept.all() == {}
    kept.forget("h")
    assert not kept.path.parent.exists()


def test_what_is_recorded_is_found_again_by_another_reader(kept):
    kept.record("h", container(tty=True), "shop")
    kept.record("h", container(tty=False), "shop")
    kept.note_whole("h")
    kept.note_stop("other")
    again = Declarations(kept.path)
    found = again.all()
    assert (from_text(Container, found["h"].declared), found["h"].project, found["h"].whole) == (
        container(),
        "shop",
        True,
    )
    assert (found["other"].declared, bool(found["other"].stopped_at)) == (None, True)
    again.forget("h")
    again.close()
    assert set(kept.all()) == {"other"}
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600


def test_a_damaged_file_is_told(kept):
    kept.path.parent.mkdir()
    kept.path.write_bytes(b"no database at all" * 100)
    with pytest.raises(CorruptStateError, match="cannot be read"):
        kept.all()


def test_a_declaration_of_another_version_is_as_good_as_none():
    assert from_text(Container, '{"name": "one", "image": "i", "later": 1}') is None
