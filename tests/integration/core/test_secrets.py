"""Secrets and configs from a Compose file: given, never shown or kept, and a change of them seen."""

import json
import os

import pytest

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
COMPOSE = """\
name: bpsec
services:
  one:
    image: lab/busybox
    command: [sleep, '600']
    stop_grace_period: 100ms
    network_mode: none
    secrets: [word, {source: phrase, target: /etc/phrase, uid: "5", mode: "0400"}]
    configs: [{source: text, target: /etc/text}]
secrets:
  word: {environment: WORD}
  phrase: {file: ./phrase}
configs:
  text: {content: "a = ${WORD}"}
"""


def held(project, *words):
    files = (path for top in (project.state, project.run) for path in top.rglob("*") if path.is_file())
    return [path for path in files if any(word in path.read_bytes() for word in words)]


def test_given_never_shown_and_a_change_is_seen(project):
    project.file.write_text(COMPOSE)
    (project.file.parent / "phrase").write_text("opensesame")
    project("plan", "--json", WORD="hush1")
    project("apply", WORD="hush1")
    inside = project("exec", "one", "cat", "/run/secrets/word", "/etc/phrase", "/etc/text")
    assert inside == "hush1opensesamea = hush1"
    assert "Nothing to do" in project("plan", WORD="hush1")
    project.said.clear()
    assert "re-create" in project("plan", WORD="hush2")
    assert json.loads(project("plan", "--json", WORD="hush2"))["steps"][0]["action"] == "re-create"
    project("status", "--json")
    project("apply", WORD="hush2")
    assert "hush" not in "".join(project.said)
    assert project("exec", "one", "cat", "/run/secrets/word") == "hush2"
    (project.file.parent / "phrase").write_text("another")
    assert "re-create" in project("plan", WORD="hush2")
    assert "another" not in project.said[-1]
    kept = [path for path in held(project, b"hush1", b"hush2", b"opensesame") if "secrets" not in path.parts]
    assert kept == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{file: ./phrase}", "{external: true}", "bayplan secret create"),
        ("secrets: [word,", "secrets: [gone,", "'gone' is not declared"),
        ("{environment: WORD}", "{environment: GONE}", "GONE' is not set"),
        ("{file: ./phrase}", "{file: ./gone}", "cannot be read"),
    ],
)
def test_faults_are_told_with_their_line_before_any_change(project, old, new, message):
    project.file.write_text(COMPOSE.replace(old, new))
    (project.file.parent / "phrase").write_text("opensesame")
    said = project("apply", ok=False, WORD="x")
    project.file.write_text(COMPOSE)
    assert message in said
    assert "compose.yaml:" in said
    assert json.loads(project("status", "--json")) == []
