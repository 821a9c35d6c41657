"""What only looks leaves no trace: on a host that Bayplan has never changed, nothing of it comes to be."""

import os

import pytest

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
STACK = """
name: untouched
services:
  web: {image: "127.0.0.1:9/none", pull_policy: never, networks: [net], volumes: ["data:/data"]}
networks: {net: {}}
volumes: {data: {}}
"""
READING = (
    ["history"],
    ["drift"],
    ["diff", "1", "2"],
    ["rollback", "--dry-run"],
    ["status"],
    ["ps"],
    ["plan"],
    ["check"],
    ["logs"],
    ["events", "--until", "0s"],
    ["volume", "ls"],
    ["network", "ls"],
    ["image", "ls"],
    ["secret", "ls"],
)


@pytest.fixture
def bare(tmp_path, run_bayplan):
    file = tmp_path / "compose.yaml"
    file.write_text(STACK)
    return lambda *argv: run_bayplan(file, tmp_path, *argv)


@pytest.mark.parametrize("argv", READING, ids=" ".join)
def test_reading_makes_nothing(bare, tmp_path, argv):
    said = bare(*argv)
    assert "Traceback" not in said
    assert list((tmp_path / "roots").rglob("*")) == []
