"""Where an engine is: settings before environment before contexts before the usual socket; what is refused."""

import hashlib
import json

import pytest

from bayplan.errors import DeclarationError, NotFoundError, UnsupportedError
from bayplan.models import Settings
from bayplan.runtime.engine_api.places import find


def address(kind="docker", environ=None, **settings):
    return find(Settings(**settings), kind, environ or {"HOME": "/nowhere"}).address


@pytest.fixture(autouse=True)
def _own_configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)


def test_the_settings_go_before_the_environment_and_that_before_the_usual_socket():
    given = {"DOCKER_HOST": "unix:///env.sock", "CONTAINER_HOST": "unix:///podman.sock"}
    assert address(engine_address="unix:///own.sock", environ=given) == "unix:///own.sock"
    assert address(environ=given) == "unix:///env.sock"
    assert address("podman", environ=given) == "unix:///podman.sock"
    assert address() == "unix:///var/run/docker.sock"
    assert address("podman") == "unix:///run/podman/podman.sock"


def test_ssh_has_the_usual_socket_or_its_own():
    place = find(Settings(engine_address="ssh://me@host:2222"), "podman", {})
    assert (place.scheme, place.socket) == ("ssh", "/run/podman/podman.sock")
    assert address(engine_address="ssh://host/run/my.sock") == "ssh://host/run/my.sock"


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ("tcp://host.example:2375", UnsupportedError, "without TLS would give host.example away"),
        ("/var/run/docker.sock", DeclarationError, "is no address of an engine"),
        ("unix://relative", DeclarationError, "is no address of an engine"),
        ("ssh://", DeclarationError, "is no address of an engine"),
    ],
)
def test_what_is_no_address_is_refused(given, error, says):
    with pytest.raises(error, match=says):
        address(engine_address=given)


def test_tcp_needs_no_tls_on_loopback_alone(tmp_path):
    assert address(engine_address="tcp://127.0.0.1:2375") == "http://127.0.0.1:2375"
    with pytest.raises(NotFoundError, match=r"ca.pem does not exist"):
        address(engine_address="tcp://host.example:2376", engine_tls=tmp_path)


def test_a_context_is_read_as_docker_wrote_it(tmp_path):
    # The directory's name is the SHA-256 of the context's (docker/cli, cli/context/store).
    (tmp_path / "config.json").write_text("{}")
    name = hashlib.sha256(b"far").hexdigest()
    (tmp_path / f"contexts/meta/{name}").mkdir(parents=True)
    meta = {"Name": "far", "Metadata": {}, "Endpoints": {"docker": {"Host": "ssh://far.example"}}}
    (tmp_path / f"contexts/meta/{name}/meta.json").write_text(json.dumps(meta))
    assert address(engine_context="far") == "ssh://far.example/var/run/docker.sock"
    assert address(environ={"DOCKER_CONTEXT": "far"}) == "ssh://far.example/var/run/docker.sock"
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "far"}))
    assert address() == "ssh://far.example/var/run/docker.sock"
    with pytest.raises(NotFoundError, match="context near does not exist"):
        address(engine_context="near")
