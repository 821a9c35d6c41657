"""Which engine is chosen: the named one, who has the project by the record, else the native core."""

import pytest

from bayplan import engines
from bayplan.errors import DeclarationError, UnavailableError
from bayplan.models import Settings
from bayplan.record.engines import claim
from bayplan.record.journal import Journal


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "_SOCKETS", {"docker": tmp_path / "docker.sock"})
    return Settings(state_root=tmp_path)


def test_a_named_engine_is_taken_without_a_question(settings):
    asked = []
    named = settings.model_copy(update={"engine": "docker"})
    assert engines.chosen(named, lambda: asked.append(1) or "p").engine == "docker"
    assert asked == []


def test_auto_is_native_where_nothing_else_is(settings):
    asked = []
    assert engines.chosen(settings, lambda: asked.append(1) or "p").engine == "native"
    assert asked == []  # the declaration need not be read for that


def test_auto_takes_the_engine_that_the_record_knows(settings):
    journal = Journal(settings.state_root / "record.db")
    claim(journal, "mine", "podman")
    journal.close()
    assert engines.chosen(settings, lambda: "mine").engine == "podman"
    assert engines.chosen(settings, lambda: "other").engine == "native"
    assert engines.chosen(settings).engine == "native"


def test_an_engine_that_does_not_answer_has_not_been_chosen(settings):
    (settings.state_root / "docker.sock").touch()
    assert engines.chosen(settings, lambda: "mine").engine == "native"


def test_an_address_says_which_engine_it_is(settings):
    named = settings.model_copy(update={"engine_address": "unix:///nowhere/engine.sock"})
    with pytest.raises(UnavailableError, match=r"no socket /nowhere/engine\.sock"):
        engines.chosen(named)


def test_a_user_without_root_keeps_records_of_their_own(settings, monkeypatch, tmp_path):
    monkeypatch.setattr(engines.os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    assert engines.chosen(Settings(engine="docker")).state_root == tmp_path / "home/bayplan"
    assert engines.chosen(settings.model_copy(update={"engine": "docker"})).state_root == tmp_path


def test_a_setting_that_is_none_is_named_with_the_one_that_was_meant(tmp_path, caplog):
    file = tmp_path / "config.toml"
    file.write_text('state_rot = "/x"\n')
    with pytest.raises(DeclarationError, match=r"config\.toml: there is no setting state_rot .did you mean state_root"):
        engines.load_settings({"BAYPLAN_CONFIG": str(file)})
    others = {
        "BAYPLAN_CONFIG": "/nonexistent",
        "BAYPLAN_ENGINES": "/x",
        "BAYPLAN_OF_SOMEBODY": "1",
        "BAYPLAN_WORKERS": "2",
    }
    assert engines.load_settings(others).workers == 2
    assert caplog.text == ""
    engines.load_settings({"BAYPLAN_CONFIG": "/nonexistent", "BAYPLAN_STATE_ROT": "/x"})
    assert "BAYPLAN_STATE_ROT is no setting, and is ignored: did you mean BAYPLAN_STATE_ROOT?" in caplog.text
