"""What the policy forbids is not asked for; credentials come from helpers by their protocol."""

import json

import pytest

from bayplan.errors import DeclarationError, UnsupportedError
from bayplan.models.reference import ImageReference
from bayplan.models.settings import Settings
from bayplan.registry.auth import credentials_for
from bayplan.registry.client import RegistryClient
from bayplan.registry.policy import check_docker, check_path

ACCEPT, REJECT = [{"type": "insecureAcceptAnything"}], [{"type": "reject"}]
SIGNED = [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}]
POLICY = {
    "default": REJECT,
    "transports": {
        "docker": {
            "r.example": ACCEPT,
            "r.example/signed": SIGNED,
            "r.example/signed/but:open": ACCEPT,
            "*.wild.example": ACCEPT,
            "s.wild.example": [{"type": "sigstoreSigned", "keyPath": "/k"}],
            "odd.example": [{"type": "new"}],
            "void.example": [],
        },
        "oci": {"/srv/images": ACCEPT},
    },
}


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(POLICY))
    return path


@pytest.mark.parametrize("name", ["r.example/app:1", "r.example/signed/but:open", "a.b.wild.example/x"])
def test_accepted(policy, name):
    check_docker(ImageReference.parse(name), policy)


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("elsewhere.example/app", UnsupportedError, "rejected by the policy"),
        ("wild.example/app", UnsupportedError, "rejected by the policy"),
        ("r.example/signed/app:1", UnsupportedError, "wants a signature \\(signedBy\\)"),
        ("s.wild.example/app", UnsupportedError, "sigstoreSigned"),
        ("odd.example/app", DeclarationError, "unknown type 'new'"),
        ("void.example/app", DeclarationError, "no requirements"),
    ],
)
def test_refused_before_anything_is_asked_for(policy, name, error, text):
    client = RegistryClient(Settings(signature_policy=policy))
    with pytest.raises(error, match=text):
        client.resolve(ImageReference.parse(name))


def test_paths_have_scopes_too(policy, tmp_path):
    from pathlib import Path

    check_path("oci", Path("/srv/images/one"), policy)
    with pytest.raises(UnsupportedError, match="rejected"):
        check_path("oci", tmp_path, policy)
    (tmp_path / "policy.json").write_text("{")
    with pytest.raises(DeclarationError, match="not JSON"):
        check_path("oci", tmp_path, policy)


@pytest.fixture
def helper(tmp_path, monkeypatch):
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    for name in ("HOME", "XDG_RUNTIME_DIR", "DOCKER_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    monkeypatch.setenv("PATH", f"{bin_dir}:/usr/bin:/bin")

    def make(name, answers):
        cases = "".join(f"  '{server}') printf '%s' '{answer}' ;;\n" for server, answer in answers.items())
        text = f'#!/bin/sh\n[ "$#" = 1 ] && [ "$1" = get ] || exit 3\nread -r server || :\ncase $server in\n{cases}'
        path = bin_dir / f"docker-credential-{name}"
        path.write_text(text + "  *) echo 'credentials not found in native keychain'; exit 1 ;;\nesac\n")
        path.chmod(0o755)

    return make


def test_helpers_are_asked_by_registry_then_the_store(helper, tmp_path):
    helper(
        "own", {"r.example": '{"Username": "u", "Secret": "s"}', "t.example": '{"Username": "<token>", "Secret": "i"}'}
    )
    helper("all", {"https://index.docker.io/v1/": '{"Username": "hub", "Secret": "h"}', "odd.example": "what"})
    auths = {"plain.example": {"auth": "YTpi"}}
    helpers = {"r.example": "own", "t.example": "own", "gone.example": "none", "bad.example": "../x"}
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": helpers, "credsStore": "all", "auths": auths}))
    assert credentials_for("r.example", "app").user == "u"
    token = credentials_for("t.example", "app")
    assert (token.user, token.password) == ("", "i")
    assert credentials_for("docker.io", "library/x").user == "hub"
    assert credentials_for("plain.example", "app").password == "b"
    assert credentials_for("unknown.example", "app") is None
    for registry, text in (("gone.example", "not installed"), ("bad.example", "no name"), ("odd.example", "protocol")):
        with pytest.raises(DeclarationError, match=text):
            credentials_for(registry, "app")
