"""Generations on the real core: kept after each apply, compared, gone back to; drift against the last of them."""

import json
import os
import sqlite3
import subprocess
from contextlib import closing

import pytest

from faults.core import add_image, layer

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

STACK = """
name: past
services:
  web:
    image: lab/busybox
    command: [sh, -c, 'cat /version; echo "$$GREETING $$DB_PASSWORD"; exec sleep 600']
    environment: {GREETING: "${GREETING:-hello}", DB_PASSWORD: "${PASSWORD:-planted-secret}"}
    stop_grace_period: 0s
    networks: [net]
    secrets: [note]
    configs: [plain]
    volumes: ["data:/data"]
networks: {net: {}}
volumes: {data: {}}
secrets: {note: {file: ./note}}
configs: {plain: {content: "of a config"}}
"""


BUILT = """\
  built:
    image: past-built
    build: {dockerfile_inline: "FROM lab/busybox\\nARG API_TOKEN\\n", args: {API_TOKEN: planted-token, LEVEL: shown}}
    command: [sleep, "600"]
    stop_grace_period: 0s
networks: {net: {}}
"""


@pytest.fixture
def past(project, tmp_path):
    project.file.write_text(STACK)
    (tmp_path / "note").write_text("planted-content")
    version(project, 1)
    project("apply")
    return project


def version(project, number):
    """Give the image's name to an image of another content."""
    add_image(project.state / "images", data=layer(files=[("version", f"version {number}\n".encode())]))


def said(project):
    return project("exec", "-T", "web", "cat", "/version").strip()


def rows(project, sql):
    with closing(sqlite3.connect(project.state / "record.db")) as connection, connection:
        return connection.execute(sql).fetchall()


def listed(project):
    return [(item["number"], item["changes"]) for item in json.loads(project("history", "--json"))]


def test_each_apply_that_changes_something_leaves_a_generation(past):
    past("apply")
    assert [number for number, _ in listed(past)] == [1]
    past("apply", GREETING="bonjour")
    assert listed(past)[0] == (2, "1 to re-create; 3 unchanged.")
    found = json.loads(past("diff", "1", "2", "--json"))
    assert [(item["resource"], item["change"]) for item in found] == [("container past-web-1", "changed")]
    assert [(one["path"], one["before"], one["after"]) for one in found[0]["fields"]] == [
        ("environment[GREETING]", "hello", "bonjour")
    ]
    assert "~ container past-web-1: changed\n    environment[GREETING]: 'hello' -> 'bonjour'" in past("diff", "1", "2")


def test_a_rollback_brings_back_declaration_and_image_though_nothing_else_has_it(past):
    version(past, 2)
    past("apply", GREETING="bonjour")
    assert said(past) == "version 2"
    past("image", "prune", "--all")  # the first image has no name and no container any more
    shown = past("rollback", "--dry-run")
    assert "± re-create container past-web-1: goes back to generation 1\n" in shown
    # It is here, and only its name means another one: nothing is pulled.
    assert "~ tag       image lab/busybox: its name has to mean another image" in shown
    assert "to pull" not in shown
    assert said(past) == "version 2"
    assert "environment[GREETING]: 'bonjour' -> 'hello'" in past("rollback")
    assert said(past) == "version 1"
    assert listed(past)[0][1].startswith("rollback to generation 1: ")
    assert "planted-secret" in past("exec", "-T", "web", "sh", "-c", "echo $DB_PASSWORD")
    assert past("exec", "-T", "web", "cat", "/run/secrets/note") == "planted-content"
    # The declaration has not changed: an apply goes forward again.
    past("rollback", "2")
    assert said(past) == "version 2"


def test_a_rollback_keeps_the_secrets_of_now(past, tmp_path):
    (tmp_path / "note").write_text("rotated")
    past("apply", GREETING="bonjour", PASSWORD="rotated-too")
    past("rollback", PASSWORD="rotated-too")
    assert past("exec", "-T", "web", "sh", "-c", "echo $GREETING $DB_PASSWORD") == "hello rotated-too\n"
    assert past("exec", "-T", "web", "cat", "/run/secrets/note") == "rotated"


def test_no_secret_is_in_a_generation(past, tmp_path):
    past.file.write_text(STACK.replace("networks: {net: {}}\n", BUILT))
    past("apply", GREETING="bonjour")
    with closing(sqlite3.connect(past.state / "record.db")) as held:
        generations = "".join(row[0] for row in held.execute("SELECT content FROM generations"))
    assert "bonjour" in generations
    assert "shown" in generations
    assert "planted" not in generations
    assert b"planted" not in b"".join(path.read_bytes() for path in past.state.glob("record.db*"))
    assert past("plan", GREETING="bonjour").startswith("Nothing to do")
    # What was built then is kept: nothing is built anew to go back and forth.
    past("rollback", "1")
    assert "+ build" not in past("rollback", "2")
    assert "past-built-1" in past("ps")
    assert "planted" not in past("diff", "1", "2") + past("history") + past("rollback", "--dry-run")


def test_a_secret_that_nobody_has_any_more_is_asked_for_before_anything_is_changed(past):
    past("apply", GREETING="bonjour")
    past("rm", "-f", "web")
    environ = {**os.environ, **past.environment}
    argv = [*past.command, "-p", "past", "rollback", "1"]
    done = subprocess.run(argv, cwd="/", capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == 2
    assert "the value of DB_PASSWORD is in no generation" in done.stderr
    past("rollback", "1")


def test_old_generations_and_their_images_go(past):
    for number in range(2, 5):
        version(past, number)
        past("apply", BAYPLAN_GENERATIONS_KEPT="2")
    assert [number for number, _ in listed(past)] == [4, 3]
    assert "generation 1 of past is not kept (there are: 3, 4)" in past("rollback", "1", ok=False)
    past("image", "prune", "--all")
    with closing(sqlite3.connect(past.state / "state.db")) as connection:
        kept = {row[0] for row in connection.execute("SELECT digest FROM kept_images")}
    blobs = {f"sha256:{path.name}" for path in (past.state / "images/blobs/sha256").iterdir()}
    assert len(kept) == 2
    assert len(blobs) == 6  # manifest, configuration and layer of each
    past("destroy")
    assert listed(past) == []
    past("image", "prune", "--all")
    assert list((past.state / "images/blobs/sha256").iterdir()) == []


def test_a_damaged_or_newer_generation_is_refused_and_the_others_are_not(past):
    past("apply", GREETING="bonjour")
    past("apply", GREETING="ciao")
    rows(past, "UPDATE generations SET content = substr(content, 2) WHERE number = 1")
    rows(past, "UPDATE generations SET version = 99 WHERE number = 2")
    assert "generation 1 of past is damaged" in past("rollback", "1", ok=False)
    assert "was written by a newer version" in past("rollback", "2", ok=False)
    text = past("history")
    assert "is damaged" in text
    assert past("rollback", "3", "--dry-run").startswith("Nothing to do")


def test_drift_is_what_differs_from_the_last_apply_not_from_the_declaration(past):
    assert past("drift", GREETING="edited since").startswith("No drift: past is as generation 1")
    past("stop", "web")
    found = json.loads(past("drift", "--json"))
    assert (found["generation"], found["drifted"]) == (1, True)
    assert [item["action"] for item in found["plan"]["steps"]] == ["start"]
    text = past("drift")
    assert text.startswith("past has drifted from generation 1")
    assert "> start     container past-web-1: was stopped" in text
    # However often something is healed, generations that differ stay.
    past("drift", "--heal", GREETING="edited since")
    past("stop", "web")
    past("apply")
    assert past("drift").startswith("No drift: past is as generation 1")
    past("apply", PASSWORD="another")  # in no generation, but declared
    past("apply", GREETING="bonjour", PASSWORD="another")
    assert [number for number, _ in listed(past)] == [3, 2, 1]
    assert "They declare the same" in past("diff", "1", "2")


def test_a_project_without_generations_says_so(project):
    project.file.write_text(STACK.replace("./note", str(project.file)))
    add_image(project.state / "images")
    assert "project past has no generation on this host (apply it first" in project("drift", ok=False)
    assert "has no generation before this one" in project("rollback", ok=False)
    assert json.loads(project("history", "--json")) == []
    assert "diff takes one container, or the numbers of two" in project("diff", "a", "b", ok=False)
