"""Engines that cannot be asked: one clear message each."""

import json
import os
import socket

import pytest

from bayplan.cli import standing
from bayplan.errors import AccessDeniedError, RuntimeFailureError, UnavailableError, UnsupportedError
from bayplan.models import Settings
from bayplan.runtime.engine_api.client import connect
from unit.runtime.engine_api.served import serving


def opened(path, kind="docker"):
    return connect(Settings(engine_address=f"unix://{path}"), kind)


def version(**found):
    return answer(json.dumps({"Version": "1.2.3", "ApiVersion": "1.41", **found}))


def answer(text):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text.encode())


@pytest.mark.parametrize(("kind", "start"), [("docker", "start docker"), ("podman", "start podman.socket")])
def test_a_socket_that_is_missing(tmp_path, kind, start):
    with pytest.raises(UnavailableError, match="there is no socket") as caught:
        opened(tmp_path / "s", kind)
    assert str(tmp_path / "s") in str(caught.value)
    assert start in caught.value.hint


def test_nobody_behind_it(tmp_path):
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(tmp_path / "s"))
    with pytest.raises(UnavailableError, match="nobody answers"):
        opened(tmp_path / "s")


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's socket needs root to be made")
def test_a_socket_that_may_not_be_used(tmp_path):
    with serving(tmp_path / "s", [version()]):
        (tmp_path / "s").chmod(0o600)
        os.seteuid(65534)
        try:
            with pytest.raises(AccessDeniedError, match="its socket may not be used") as caught:
                opened(tmp_path / "s")
        finally:
            os.seteuid(0)
    assert "group that owns the socket" in caught.value.hint


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"ApiVersion": "1.39"}, "docker 1.2.3 speaks API 1.39, which is too old"),
        ({"ApiVersion": "1.99", "MinAPIVersion": "1.90"}, "docker 1.2.3 speaks API 1.99, which is too new"),
        ({"Components": [{"Name": "Podman Engine", "Version": "5.8.0"}]}, "is podman, not docker"),
    ],
)
def test_an_engine_that_is_another(tmp_path, found, words):
    with serving(tmp_path / "s", [version(**found)]), pytest.raises(UnsupportedError, match=words):
        opened(tmp_path / "s")


def test_what_is_no_engine(tmp_path):
    with (
        serving(tmp_path / "s", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"]),
        pytest.raises(RuntimeFailureError, match="is not understood"),
    ):
        opened(tmp_path / "s")


def test_a_newer_engine_is_asked_in_the_newest_words_that_are_known(tmp_path):
    with serving(tmp_path / "s", [version(ApiVersion="1.99")]):
        client = opened(tmp_path / "s")
        assert (client.kind, client.engine_version, client.api_version) == ("docker", "1.2.3", "1.51")
        client.close()


def test_answers_are_kept_by_who_listens_and_once_however_often_they_are_asked(tmp_path):
    """A wait for the end of a container asks ten times a second, for days; a bridge asks for as long as it is there."""
    with serving(tmp_path / "s", [version(), *[answer('{"Running": true}')] * 3, answer('{"Running": false}')]):
        client = opened(tmp_path / "s")
        watch = standing.Watch()
        for _ in range(3):
            client.call("GET", "/containers/web/json")
        watch.over()
        client.call("GET", "/containers/web/json")
        client.close()
    assert watch.answers == {(f"/v{client.api_version}/containers/web/json", b'{"Running": true}')}
