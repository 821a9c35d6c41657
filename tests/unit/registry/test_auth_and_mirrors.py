import base64
import json

import pytest

from bayplan.errors import DeclarationError, UnsupportedError
from bayplan.models.reference import ImageReference
from bayplan.registry.auth import credentials_for, parse_challenges
from bayplan.registry.mirrors import Endpoint, endpoints, load


def test_several_challenges_in_one_header_keep_their_own_parameters():
    header = 'Bearer realm="https://a.example/t?x=1,2",service="r \\"q\\"", Basic realm=plain'
    bearer, basic = parse_challenges(header)
    assert bearer.scheme == "bearer"
    assert bearer.parameters == {"realm": "https://a.example/t?x=1,2", "service": 'r "q"'}
    assert (basic.scheme, basic.parameters) == ("basic", {"realm": "plain"})


def test_most_exact_credentials_win_and_passwords_are_not_shown(tmp_path, monkeypatch):
    def entry(user):
        return {"auth": base64.b64encode(f"{user}:pa:ss".encode()).decode()}

    auths = {"r.example": entry("all"), "r.example/team": entry("team")}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    for name in ("HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    found = credentials_for("r.example", "team/app")
    assert (found.user, found.password) == ("team", "pa:ss")
    assert "pa:ss" not in repr(found)
    assert credentials_for("r.example", "other/app").user == "all"
    assert credentials_for("elsewhere.example", "team/app") is None


def test_mirrors_come_first_and_only_the_marked_one_is_insecure(tmp_path):
    conf = tmp_path / "registries.conf"
    conf.write_text(
        '[[registry]]\nprefix = "docker.io/library"\nlocation = "docker.io/library"\n'
        '[[registry.mirror]]\nlocation = "127.0.0.1:5000/hub"\ninsecure = true\n'
        '[[registry]]\nprefix = "*.bad.example"\nblocked = true\n'
    )
    tables = load([conf])
    assert endpoints(ImageReference.parse("nginx"), tables) == (
        Endpoint("127.0.0.1:5000", "hub/nginx", True),
        Endpoint("docker.io", "library/nginx", False),
    )
    assert endpoints(ImageReference.parse("team/app"), tables) == (Endpoint("docker.io", "team/app"),)
    with pytest.raises(UnsupportedError):
        endpoints(ImageReference.parse("r.bad.example/app"), tables)


def test_a_header_of_blanks_is_read_in_no_time():
    """Where each blank is tried with each other one, this takes minutes."""
    assert parse_challenges("Bearer a=b" + " ," * 30_000 + "=")[0].parameters == {"a": "b"}


@pytest.mark.parametrize("text", ["registry = 'x'", "[registry]", "[[registry]]\nlocation = 'a'\nmirror = ['b']", "["])
def test_what_is_no_table_is_refused(tmp_path, text):
    conf = tmp_path / "registries.conf"
    conf.write_text(text)
    with pytest.raises(DeclarationError, match=r"registries.conf: "):
        load([conf])
