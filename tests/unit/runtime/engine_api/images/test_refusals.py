"""What an engine's builder cannot do is told before anything is built, with engine, version, option, file and line."""

import pytest

from bayplan.errors import DeclarationError, UnsupportedError
from bayplan.models import Build
from bayplan.runtime.engine_api.images import refusals

DECLARED = Build(context="/context")


@pytest.mark.parametrize(
    ("kind", "version", "text", "words"),
    [
        ("docker", "20.10.24", "FROM a\nRUN --mount=type=cache,target=/c true", "--mount"),
        ("docker", "28.5.1", "FROM a\nRUN --network=none true", "--network"),
        ("docker", "20.10.24", "FROM a\nCOPY --chmod=600 a b", "--chmod"),
        ("docker", "20.10.24", "FROM a\nRUN <<E\ntrue\nE", "here-documents"),
        ("podman", "4.3.1", "FROM a\nRUN <<E\ntrue\nE", "here-documents"),
        ("podman", "5.8.0", "FROM a\nRUN --security=insecure true", "--security"),
    ],
)
def test_instructions(kind, version, text, words):
    with pytest.raises(UnsupportedError, match=words) as raised:
        refusals.check(DECLARED, text, "Dockerfile", kind=kind, version=version)
    assert f"{kind} {version}" in str(raised.value)
    assert "Dockerfile:2" in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "version", "text"),
    [
        ("docker", "20.10.24", "FROM a AS b\nRUN true\nCOPY --from=b --chown=1 a c"),
        ("podman", "4.3.1", "FROM a\nRUN --mount=type=cache,target=/c true\nCOPY --chmod=600 a b"),
        ("podman", "5.8.0", "FROM a\nRUN <<E\ntrue\nE"),
    ],
)
def test_what_can_be_built(kind, version, text):
    assert refusals.check(DECLARED, text, "Dockerfile", kind=kind, version=version)


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("docker", {"secrets": ({"id": "a"},)}, "build.secrets"),
        ("docker", {"ssh": {"default": "/agent"}}, "build.ssh"),
        ("podman", {"entitlements": ("network.host",)}, "build.entitlements"),
        ("podman", {"platforms": ("linux/amd64", "linux/arm64")}, "build.platforms"),
    ],
)
def test_options(kind, fields, words):
    declared = Build.model_validate({"context": "/context", **fields})
    with pytest.raises(UnsupportedError, match=words):
        refusals.check(declared, "FROM a", "Dockerfile", kind=kind, version="5.0.0")


def test_podman_may_know_words_of_its_own():
    with pytest.raises(DeclarationError, match="unknown instruction"):
        refusals.check(DECLARED, "FROM a\nINCLUDE b", "Dockerfile", kind="docker", version="20.10.24")
    assert refusals.check(DECLARED, "FROM a\nINCLUDE b", "Dockerfile", kind="podman", version="5.0.0") == ()
