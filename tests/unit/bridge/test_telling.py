"""How far a request is, as another one hears it."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from bayplan.bridge import telling
from bayplan.bridge.rooms import Asked
from bayplan.errors import DeclarationError
from bayplan.models import Settings
from bayplan.runtime.protocol import Progress

TOKEN = "0123456789abcdef" * 2


@pytest.fixture
def settings(tmp_path):
    return Settings(run_root=tmp_path / "run", state_root=tmp_path / "state", engine="native")


def heard(settings, token=TOKEN):
    return telling.told(Asked("told", {"token": token}, False, settings, None))["lines"]


def test_another_request_hears_the_latest(settings, monkeypatch):
    monkeypatch.setattr(telling, "_EVERY_S", 0.0)
    with telling.begun(TOKEN, settings):
        telling.report()(Progress("pull abc", 1_000_000, 2_000_000))
        telling.report()(Progress("pull def", 5, 5))
        telling.report()(Progress("image x", message="RUN make"))
        assert heard(settings) == ["pull abc: 1.0 of 2.0 MB", "image x: RUN make"]
        telling.report()(Progress("pull abc", 2_000_000, 2_000_000))
        assert heard(settings) == ["image x: RUN make"]
    assert heard(settings) == []
    assert list((settings.run_root / "telling").iterdir()) == []


def test_what_a_killed_one_left_goes_with_a_later_one(settings):
    left, other = (settings.run_root / "telling" / (letter * 32) for letter in "ef")
    with telling.begun(TOKEN, settings):
        left.write_text("[]")
        other.write_text("[]")
    os.utime(left, (0, 0))
    with telling.begun(TOKEN, settings):
        assert (left.exists(), other.exists()) == (False, True)


def test_requests_beside_each_other_tell_of_themselves_alone(settings):
    both = Barrier(2, timeout=10)

    def one(token):
        with telling.begun(token, settings):
            both.wait()
            telling.report()(Progress(f"image {token[0]}", message="RUN make"))
            both.wait()
            return heard(settings, token)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(one, ("a" * 32, "b" * 32))) == [["image a: RUN make"], ["image b: RUN make"]]


def test_nobody_is_told_who_did_not_ask(settings):
    with telling.begun(None, settings):
        telling.report()(Progress("pull abc", 1, 2))
    assert not settings.run_root.exists()


@pytest.mark.parametrize("token", ["", "../../etc/passwd", "0" * 31, 7])
def test_a_token_names_no_other_file(settings, token):
    with pytest.raises(DeclarationError), telling.begun(token, settings):
        pass
    with pytest.raises(DeclarationError):
        heard(settings, token)
